//! `pinnace broker-files`: what a Mosquitto needs to serve this control plane's fleet.
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use pinnace_controlplane::broker::mosquitto::{Files, acl_file, config_file};
use pinnace_controlplane::ca::{CertificateAuthority, RevocationList};
use pinnace_controlplane::{DataDir, authority, revocation_list, revoked_serials, store};
use pinnace_protocol::ids::TenantId;

use crate::args::BrokerFilesArgs;
use crate::output::{Failure, line};

/// Readable by everyone.
const OPEN: u32 = 0o644;
/// Readable by its owner.
const SECRET: u32 = 0o600;

/// Runs the command.
pub async fn run(args: &BrokerFilesArgs) -> Result<(), Failure> {
    let now = super::now();
    let ca = open_authority(&args.data, now)?;
    let mut names = args.name.clone();
    names.push(args.listen.ip().to_string());
    let server = ca.issue_server(&names, now)?;
    let tenant = TenantId::parse(&args.tenant)?;
    let revoked = newest_list(&args.data, &ca, now).await?;

    fs::create_dir_all(&args.out)?;
    let dir = std::path::absolute(&args.out)?;
    let [authority, certificate, key, acl, crl, conf] =
        ["authority.pem", "server.pem", "server.key", "acl", "crl.pem", "mosquitto.conf"].map(|name| dir.join(name));
    write(&authority, ca.certificate_pem(), OPEN)?;
    write(&certificate, &server.issued.certificate_pem, OPEN)?;
    write(&key, &server.key_pem, SECRET)?;
    write(&acl, &acl_file(&tenant), SECRET)?;
    write(&crl, revoked.pem(), OPEN)?;
    let files = Files { authority: &authority, certificate: &certificate, key: &key, acl: &acl, revoked: &crl };
    write(&conf, &config_file(args.listen, files), OPEN)?;
    let name = args.name.first().cloned().unwrap_or_else(|| args.listen.ip().to_string());
    line(format!(
        "Wrote {}. The user that runs Mosquitto must own {} and {}.",
        conf.display(),
        key.display(),
        acl.display()
    ));
    line(format!(
        "{}: revoked certificates: {}; good for {} days. Before that, and after each `pinnace device revoke`, \
         put the newest one in its place (/v1/crl.pem of the control plane), then reload or restart Mosquitto: \
         docs/BROKERS.md.",
        crl.display(),
        revoked.serials().len(),
        revoked.next_update().saturating_sub(now) / 86_400
    ));
    line(format!("Next: mosquitto -c {}, then pinnace up --broker {name}:{}", conf.display(), args.listen.port()));
    Ok(())
}

/// Returns the authority of a control plane that may be running, or makes the one of a plane that never ran.
fn open_authority(data: &Path, now: u64) -> Result<CertificateAuthority, Failure> {
    let file = |name: &str| fs::read_to_string(data.join("ca").join(name));
    match (file("authority.pem"), file("authority.key")) {
        (Ok(certificate), Ok(key)) => Ok(CertificateAuthority::load(&certificate, &key)?),
        _ => Ok(authority(&DataDir::open(data)?, now)?),
    }
}

/// Returns the control plane's revocation list; one made here when it never wrote one.
async fn newest_list(data: &Path, ca: &CertificateAuthority, now: u64) -> Result<RevocationList, Failure> {
    let written = fs::read_to_string(revocation_list(data)).ok().and_then(|pem| ca.read_revocation_list(&pem));
    if let Some(list) = written.filter(|list| list.next_update() > now) {
        return Ok(list);
    }
    let database = data.join("plane.sqlite");
    let revoked = if database.exists() {
        revoked_serials(&store::open_to_read(&database).await?.revoked(now).await?)
    } else {
        Vec::new()
    };
    Ok(ca.revocation_list(&revoked, None, now)?)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let file = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    file().map_err(|e| {
        Failure::error(format!("{} cannot be written: {e}\n  hint: name another folder with --out", path.display()))
    })
}
