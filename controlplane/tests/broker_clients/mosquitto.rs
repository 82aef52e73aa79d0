//! Mosquitto with the configuration that we write for it, started, reloaded and started again by tests.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pinnace_controlplane::broker::mosquitto::{Files, acl_file, config_file};
use pinnace_controlplane::ca::{CertificateAuthority, RevocationList};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::support::{PATIENCE, Papers, now, tenant, write_papers};

pub struct Mosquitto {
    process: Child,
    said: mpsc::UnboundedReceiver<String>,
    config: PathBuf,
    list: PathBuf,
    pub address: SocketAddr,
}

impl Mosquitto {
    /// Starts it with certificates of `authority` and nobody revoked.
    pub async fn start(directory: &Path, authority: &CertificateAuthority) -> Self {
        Self::start_with(directory, authority, "", |config| config).await
    }

    /// Starts it; `rules` are added to its access rules, and `change` has the last word about its configuration.
    pub async fn start_with(
        directory: &Path,
        authority: &CertificateAuthority,
        rules: &str,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let server: Papers = authority.issue_server(&[], now()).unwrap().into();
        let [ca, certificate, key] = write_papers(directory, "mosquitto", authority.certificate_pem(), &server);
        let [acl, list, config] = ["acl", "crl.pem", "mosquitto.conf"].map(|name| directory.join(name));
        // Mosquitto cannot choose a free port itself.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::fs::write(&acl, acl_file(&tenant("acme")) + rules).unwrap();
        std::fs::write(&list, authority.revocation_list(&[], None, now()).unwrap().pem()).unwrap();
        let files = Files { authority: &ca, certificate: &certificate, key: &key, acl: &acl, revoked: &list };
        // It gives up root for a user that may not read a private directory.
        std::fs::write(&config, format!("user root\n{}", change(config_file(address, files)))).unwrap();
        let (process, said) = launch(&config);
        let mut started = Self { process, said, config, list, address };
        started.until("running").await;
        started
    }

    /// Puts a newer revocation list in place, and does not tell.
    pub fn put_list(&self, list: &RevocationList) {
        std::fs::write(&self.list, list.pem()).unwrap();
    }

    /// Tells it to read its configuration again, and waits until it has: it has one thread, and takes no connection before.
    /// (A signal that comes while it reads would be lost.)
    pub async fn reload(&mut self) {
        let id = Pid::from_raw(i32::try_from(self.process.id().unwrap()).unwrap()).unwrap();
        kill_process(id, Signal::HUP).unwrap();
        self.until("Reloading config").await;
        let next = tokio::net::TcpStream::connect(self.address).await.unwrap();
        self.until("New connection").await;
        drop(next);
    }

    /// Ends it and starts it again.
    pub async fn restart(&mut self) {
        self.process.kill().await.unwrap();
        (self.process, self.said) = launch(&self.config);
        self.until("running").await;
    }

    /// Waits until it says so in its log.
    async fn until(&mut self, what: &str) {
        let mut said = String::new();
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = self.said.recv().await {
                if line.contains(what) {
                    return true;
                }
                said.push_str(&line);
                said.push('\n');
            }
            false
        });
        assert!(found.await.unwrap_or(false), "mosquitto did not say `{what}`:\n{said}");
    }
}

fn launch(config: &Path) -> (Child, mpsc::UnboundedReceiver<String>) {
    let mut process = Command::new("mosquitto")
        .arg("-v")
        .arg("-c")
        .arg(config)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("mosquitto must be installed");
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let (sender, said) = mpsc::unbounded_channel();
    // Keeps reading, so that it never waits for us.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            // Nobody may be interested any more.
            drop(sender.send(line));
        }
    });
    (process, said)
}
