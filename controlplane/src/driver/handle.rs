//! The way to the driver: cheap to clone, bounded, every request answered after its effect is durable.
use std::sync::Arc;

use pinnace_controlplane_core::Steward;
use pinnace_controlplane_core::api::{self, Done, Refusal};
use pinnace_protocol::ids::DeviceId;
use pinnace_protocol::message::{Command, CommandKind};
use tokio::sync::{mpsc, oneshot};

use crate::registry::{Candidate, DirectorRoots, release::Judged};
use crate::store::{Admission, Extra};

/// Says why the driver did not do it.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The steward said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The invitation is used up or has ended.
    #[error("the invitation was used or has ended\n  hint: make a new one with `pinnace device invite`")]
    Token,
    /// A device with this serial number joined before.
    #[error("a device with the serial number `{0}` joined before\n  hint: `pinnace device invite` lets it join again")]
    SerialUsed(String),
    /// The name belongs to another device.
    #[error(
        "there is a device `{0}` already\n  hint: take another name, or replace it with `pinnace device invite {0}`"
    )]
    Taken(DeviceId),
    /// The plane stops, or stopped because the disk failed.
    #[error("the control plane is stopping\n  hint: try again when it is back; its log names the cause")]
    Stopped,
}

/// What a ceremony changes, found sound.
pub struct NewKeys {
    /// Who handed it in, for the history.
    pub actor: String,
    /// What changes, in one sentence, for the history.
    pub what: String,
    /// The change itself.
    pub change: KeysChange,
}

/// Which repository changes, and to what.
pub enum KeysChange {
    /// The image repository, snapshot and timestamp signed anew.
    Image(Candidate),
    /// The director's roots.
    Director(Arc<DirectorRoots>),
}

/// A look at the steward between two steps; everything it sees is durable.
pub(super) type View = Box<dyn FnOnce(&Steward) + Send>;

/// What the driver is asked for.
pub(super) enum Request {
    /// A command for the steward.
    Command { actor: String, command: api::Command, reply: oneshot::Sender<Result<Done, DriverError>> },
    /// A release found sound.
    Publish { judged: Box<Judged>, reply: oneshot::Sender<Result<(), DriverError>> },
    /// New online metadata.
    Refresh { candidate: Candidate, reply: oneshot::Sender<Result<(), DriverError>> },
    /// New metadata of a ceremony, found sound.
    Keys { new: Box<NewKeys>, reply: oneshot::Sender<Result<(), DriverError>> },
    /// A device to let in.
    Admit { admission: Box<Admission>, labels: Vec<String>, reply: oneshot::Sender<Result<(), DriverError>> },
    /// A command for one device.
    Tell {
        actor: String,
        device: DeviceId,
        kind: CommandKind,
        life_s: u64,
        reply: oneshot::Sender<Result<u64, DriverError>>,
    },
    /// Something only the store must know.
    Write { extra: Extra, reply: oneshot::Sender<Result<(), DriverError>> },
}

/// The driver's door.
#[derive(Clone)]
pub struct DriverHandle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) views: mpsc::Sender<View>,
}

impl DriverHandle {
    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, DriverError>>) -> Request,
    ) -> Result<T, DriverError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| DriverError::Stopped)?;
        answer.await.map_err(|_| DriverError::Stopped)?
    }

    /// Gives the steward a command in the name of `actor`.
    ///
    /// # Errors
    /// [`DriverError::Refused`] with the steward's reason; nothing changed.
    pub async fn command(&self, actor: &str, command: api::Command) -> Result<Done, DriverError> {
        let actor = actor.to_owned();
        self.ask(|reply| Request::Command { actor, command, reply }).await
    }

    /// Makes a release durable and visible.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn publish(&self, judged: Judged) -> Result<(), DriverError> {
        self.ask(|reply| Request::Publish { judged: Box::new(judged), reply }).await
    }

    /// Makes new online metadata durable and visible.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn refresh(&self, candidate: Candidate) -> Result<(), DriverError> {
        self.ask(|reply| Request::Refresh { candidate, reply }).await
    }

    /// Makes new keys or a new expiry durable, then lets them count; a director's root goes to every device.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn keys(&self, new: NewKeys) -> Result<(), DriverError> {
        self.ask(|reply| Request::Keys { new: Box::new(new), reply }).await
    }

    /// Lets a device in, using up its invitation in the same transaction.
    ///
    /// # Errors
    /// [`DriverError::Token`] when the invitation is used up or has ended, [`DriverError::Taken`] when the name is.
    pub async fn admit(&self, admission: Admission, labels: Vec<String>) -> Result<(), DriverError> {
        self.ask(|reply| Request::Admit { admission: Box::new(admission), labels, reply }).await
    }

    /// Gives a device a command, signed and numbered, in the name of `actor`; returns its number once it is durable.
    ///
    /// # Errors
    /// [`DriverError::Refused`] when there is no such device.
    pub async fn tell(
        &self,
        actor: &str,
        device: DeviceId,
        kind: CommandKind,
        life_s: u64,
    ) -> Result<u64, DriverError> {
        let actor = actor.to_owned();
        self.ask(|reply| Request::Tell { actor, device, kind, life_s, reply }).await
    }

    /// Writes what only the store must know.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn write(&self, extra: Extra) -> Result<(), DriverError> {
        self.ask(|reply| Request::Write { extra, reply }).await
    }

    /// Looks at the steward between two steps. `look` should take milliseconds: the fleet waits meanwhile.
    ///
    /// # Errors
    /// [`DriverError::Stopped`].
    pub async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Steward) -> T + Send + 'static,
    ) -> Result<T, DriverError> {
        let (reply, answer) = oneshot::channel();
        // When the asker has gone, nobody wants the answer.
        let view: View = Box::new(move |steward| drop(reply.send(look(steward))));
        self.views.send(view).await.map_err(|_| DriverError::Stopped)?;
        answer.await.map_err(|_| DriverError::Stopped)
    }
}

/// A command that is sent when the steward takes it.
pub(super) struct Telling {
    pub(super) device: DeviceId,
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<u64, DriverError>>,
}

/// Who waits for the steward's answers and for durability.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) commands: std::collections::BTreeMap<u64, oneshot::Sender<Result<Done, DriverError>>>,
    pub(super) told: std::collections::BTreeMap<u64, Telling>,
    pub(super) durable: Vec<oneshot::Sender<Result<(), DriverError>>>,
    pub(super) refused: Vec<(oneshot::Sender<Result<(), DriverError>>, DriverError)>,
    pub(super) adopt: Option<Arc<crate::registry::Published>>,
    pub(super) adopt_director: Option<Arc<DirectorRoots>>,
}
