//! The simulator's broker on calm links, with nothing but message queues in the place of devices and plane.
use pinnace_protocol::topic::{Down, Up};

use super::{Arrived, Away, Broker, DEVICES, Held, Promises};
use crate::case::Case;
use crate::env::{Env, Event};
use crate::net::Quality;
use crate::options::{Options, Profile};

/// A device's process, as far as a broker sees it.
#[derive(Default)]
struct Process {
    is_connected: bool,
    inbox: Vec<(Down, String)>,
}

/// The model.
pub(super) struct Virtual {
    pub(super) env: Env,
    devices: [Process; DEVICES],
    plane: bool,
    arrived: Vec<Arrived>,
}

/// Returns the model's broker.
///
/// # Errors
/// Never.
pub fn model() -> Result<Box<dyn Broker>, String> {
    Ok(Box::new(Virtual::new()))
}

impl Virtual {
    pub(super) fn new() -> Self {
        let options = Options { seed: 1, devices: DEVICES as u32, hours: 1, profile: Profile::Calm };
        let mut env = Env::new(&Case::draw(&options), None, false);
        env.quality = Quality::CALM;
        Self { env, devices: Default::default(), plane: false, arrived: Vec::new() }
    }

    fn process(&mut self, device: usize) -> Result<&mut Process, String> {
        self.devices.get_mut(device).ok_or_else(|| format!("there is no device {device}"))
    }

    /// Lets time pass until nothing is on its way any more.
    fn settle(&mut self) -> Held {
        while let Some(event) = self.env.queue.next() {
            match event {
                Event::Down(device, kind, payload) => {
                    let text = text(&payload);
                    let process = self.process(device)?;
                    if process.is_connected {
                        process.inbox.push((kind, text));
                    }
                }
                // A plane that is away takes nothing; the broker keeps it.
                Event::Up(packet) if self.plane => {
                    let payload = text(&packet.payload);
                    self.arrived.push(Arrived { device: packet.device, kind: packet.kind, payload, token: packet.id });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

impl Broker for Virtual {
    fn promises(&self) -> Promises {
        Promises { keeps_order: false, away: Away::Lost }
    }

    fn connect(&mut self, device: usize) -> Held {
        self.settle()?;
        self.process(device)?.is_connected = true;
        self.env.connect(device);
        Ok(())
    }

    fn disconnect(&mut self, device: usize) -> Held {
        self.settle()?;
        self.process(device)?.is_connected = false;
        self.env.broker.disconnect(device);
        Ok(())
    }

    fn publish(&mut self, device: usize, kind: Up, payload: &str) -> Held {
        self.env.publish_up(device, kind, payload.as_bytes().to_vec());
        Ok(())
    }

    fn received(&mut self, device: usize) -> Result<Vec<(Down, String)>, String> {
        self.settle()?;
        Ok(std::mem::take(&mut self.process(device)?.inbox))
    }

    fn connect_plane(&mut self) -> Held {
        self.settle()?;
        self.plane = true;
        self.env.redeliver();
        Ok(())
    }

    fn disconnect_plane(&mut self) -> Held {
        self.settle()?;
        self.plane = false;
        self.arrived.clear();
        self.env.broker.plane_lost();
        Ok(())
    }

    fn publish_down(&mut self, device: usize, kind: Down, payload: &str) -> Held {
        // One after the other: what is published later is sent later, and yet may be faster on the way.
        self.settle()?;
        self.env.publish_down(device, kind, payload.as_bytes().to_vec());
        Ok(())
    }

    fn arrived(&mut self) -> Result<Vec<Arrived>, String> {
        self.settle()?;
        Ok(std::mem::take(&mut self.arrived))
    }

    fn acknowledge(&mut self, tokens: &[u64]) -> Held {
        self.env.broker.acknowledge(tokens.iter().copied());
        Ok(())
    }
}
