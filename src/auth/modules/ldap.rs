//! `ldap`: a directory decides, by letting the user in itself (`endpoints.md` h.3).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use ldap3::{LdapConnAsync, LdapConnSettings, dn_escape};
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::timeout;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Account, Case, Demand, Denial, Judgement, Module};
use super::super::settings::Settings;

/// How long the directory may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What LDAP says of wrong credentials.
const INVALID_CREDENTIALS: u32 = 49;

struct Ldap {
    url: String,
    tls: Option<Arc<ClientConfig>>,
    /// The user's name in the directory, with `%username` and `%domain` for what they are.
    format: String,
    domain: String,
    account: Option<Account>,
}

impl std::fmt::Debug for Ldap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ldap")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

pub(crate) fn build(settings: &Settings, context: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let has_tls = settings.flag("tls")?.unwrap_or(false);
    let (scheme, port) = if has_tls { ("ldaps", 636) } else { ("ldap", 389) };
    let port = settings.number("port", port, 1, 65535)?;
    let host = settings.get("host").unwrap_or("localhost");
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(settings.bad("host", host, "write a host name or an address"));
    }
    if !has_tls && !["localhost", "127.0.0.1", "[::1]"].contains(&host) {
        tracing::warn!("passwords go to the directory on {host} in the clear: ldap:tls=yes hides them");
    }
    let encoding = settings.get("encoding").unwrap_or("utf-8");
    if !["utf-8", "utf8", "ascii"].contains(&encoding.to_ascii_lowercase().as_str()) {
        return Err(settings.bad("encoding", encoding, "utf-8 is the only one"));
    }
    let format = settings
        .get("username-format")
        .unwrap_or("cn=%username, o=%domain");
    if !format.contains("%username") {
        return Err(settings.bad("username-format", format, "write %username for the user's name"));
    }
    let ids = settings.get("uid").zip(settings.get("gid"));
    Ok(Arc::new(Ldap {
        url: format!("{scheme}://{host}:{port}"),
        tls: has_tls.then(|| tls(settings, context)).transpose()?.map(Arc::new),
        format: format.to_owned(),
        domain: domain(),
        account: ids.map(|(uid, gid)| Account::new(uid, gid, "", "", "")),
    }))
}

/// The part of this machine's name after the host.
fn domain() -> String {
    let name = crate::system::hostname();
    name.split_once('.')
        .map_or(String::new(), |(_, domain)| domain.to_owned())
}

/// TLS that trusts the authorities of a file, else those of this machine.
fn tls(settings: &Settings, context: &Context) -> Result<ClientConfig, AuthError> {
    let mut roots = RootCertStore::empty();
    match settings.get("cacert") {
        Some(file) => {
            let bad = |problem: &str| settings.bad("cacert", file, problem);
            let path: &Path = &context.path(file);
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| bad(&error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| bad(&error.to_string()))?;
                roots.add(certificate).map_err(|error| bad(&error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(bad("it holds no certificate in PEM"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| settings.unavailable(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Module for Ldap {
    fn demand(&self) -> Demand {
        Demand::Password
    }

    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        Box::pin(async move {
            let password = case.proof.password().map(|password| password.expose());
            let password = password.and_then(|password| std::str::from_utf8(password).ok());
            // a bind without a password is anonymous, and succeeds
            let password = password.filter(|password| !password.is_empty() && !password.contains('\0'));
            let password =
                password.ok_or_else(|| Denial::new("LDAP needs a password that is text, and not empty"))?;
            let name = self.name(&case.username);
            match timeout(PATIENCE, self.bind(&name, password)).await {
                Ok(Ok(0)) => Ok(self.account.clone()),
                Ok(Ok(INVALID_CREDENTIALS)) => Err(Denial::wrong_password()),
                Ok(Ok(code)) => Err(Denial::new(format!("the directory says no ({code})"))),
                Ok(Err(error)) => Err(Denial::new(format!("no answer from {}: {error}", self.url))),
                Err(_) => Err(Denial::new(format!(
                    "no answer from {} in {PATIENCE:?}",
                    self.url
                ))),
            }
        })
    }
}

impl Ldap {
    /// The user's name in the directory; what the peer says is escaped, so that it cannot name somebody else.
    fn name(&self, username: &str) -> String {
        let (user, domain) = match username.split_once('@') {
            Some((user, domain)) if self.format.contains("%domain") => (user, domain),
            _ => (username, self.domain.as_str()),
        };
        let (user, domain) = (dn_escape(user), dn_escape(domain));
        // what is put in is not looked at again
        let around = self.format.split("%username");
        let around: Vec<String> = around.map(|text| text.replace("%domain", &domain)).collect();
        around.join(&user)
    }

    /// The result code of a bind.
    async fn bind(&self, name: &str, password: &str) -> ldap3::result::Result<u32> {
        let mut settings = LdapConnSettings::new().set_conn_timeout(PATIENCE);
        if let Some(tls) = &self.tls {
            settings = settings.set_config(Arc::clone(tls));
        }
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &self.url).await?;
        let driver = async {
            let _result_is_told_by_the_bind = connection.drive().await;
            std::future::pending().await
        };
        let bind = async {
            let result = ldap.simple_bind(name, password).await?;
            let _the_directory_notices = ldap.unbind().await;
            Ok(result.rc)
        };
        tokio::select! {
            biased;
            code = bind => code,
            never = driver => never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::check_password;
    use super::super::super::tests::*;
    use super::*;
    use crate::address::Secret;
    use std::net::{TcpListener, TcpStream};
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};

    const CONFIGURATION: &str = "
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile DIR/cert.pem
TLSCertificateKeyFile DIR/key.pem
database mdb
suffix \"o=test\"
directory DIR/data
";

    const ENTRIES: &str = "
dn: o=test
objectClass: organization
o: test

dn: cn=fred,o=test
objectClass: person
cn: fred
sn: f
userPassword: p w

dn: cn=a\\2cb,o=test
objectClass: person
cn: a,b
sn: ab
userPassword: comma
";

    /// A directory of our own.
    struct Slapd {
        process: Child,
        port: u16,
        tls_port: u16,
        directory: tempfile::TempDir,
    }

    impl Slapd {
        /// `None` when there is no slapd.
        fn start() -> Option<Self> {
            let program = PathBuf::from("/usr/sbin/slapd");
            if !program.exists() {
                assert!(std::env::var_os("CI").is_none(), "slapd is not installed");
                println!("skipped: slapd is not installed");
                return None;
            }
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
            std::fs::write(at("cert.pem"), certified.cert.pem()).unwrap();
            std::fs::write(at("key.pem"), certified.signing_key.serialize_pem()).unwrap();
            std::fs::create_dir(at("data")).unwrap();
            let configuration = CONFIGURATION.replace("DIR", directory.path().to_str().unwrap());
            std::fs::write(at("slapd.conf"), configuration).unwrap();
            std::fs::write(at("entries"), ENTRIES).unwrap();
            let mut add = Command::new("/usr/sbin/slapadd");
            add.arg("-f").arg(at("slapd.conf")).arg("-l").arg(at("entries"));
            assert!(add.stderr(Stdio::null()).status().unwrap().success());
            let free = || {
                TcpListener::bind("127.0.0.1:0")
                    .unwrap()
                    .local_addr()
                    .unwrap()
                    .port()
            };
            let (port, tls_port) = (free(), free());
            let urls = format!("ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/");
            let mut slapd = Command::new(program);
            slapd
                .arg("-f")
                .arg(at("slapd.conf"))
                .args(["-h", &urls, "-d", "0"]);
            let process = slapd.stderr(Stdio::null()).spawn().unwrap();
            let ready = |_| {
                std::thread::sleep(Duration::from_millis(50));
                [port, tls_port]
                    .iter()
                    .all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok())
            };
            assert!((0..200).any(ready), "slapd does not listen");
            Some(Self {
                process,
                port,
                tls_port,
                directory,
            })
        }
    }

    impl Drop for Slapd {
        fn drop(&mut self) {
            self.process.kill().unwrap();
            self.process.wait().unwrap();
        }
    }

    #[tokio::test]
    async fn users_of_a_directory() {
        let Some(slapd) = Slapd::start() else {
            return;
        };
        let certificate = slapd.directory.path().join("cert.pem");
        let plain = format!("port={}", slapd.port);
        let tls = format!("port={},tls=1,cacert={}", slapd.tls_port, certificate.display());
        for options in [plain, tls] {
            let format = "username-format=\"cn=%username,o=test\",uid=1000,gid=100";
            let chain = chain(&[&format!("ldap:host=127.0.0.1,{options},{format}")]);
            let (grant, _) = log_in(&chain, private("fred"), &offered(), &["p w"]).await;
            let grant = grant.unwrap();
            assert_eq!(grant.username.as_deref(), Some("fred"));
            assert_eq!(grant.account.unwrap().uid, "1000");
            assert!(passes(&chain, private("a,b"), &["comma"]).await);
            for (user, password) in [
                ("fred", "wrong"),
                ("eve", "p w"),
                ("fred,o=test", "p w"),
                ("x+cn=fred", "p w"),
                ("*", "p w"),
            ] {
                assert!(!passes(&chain, private(user), &[password]).await, "{user}");
            }
            // the directory takes this for an anonymous bind, and says yes
            let empty = Secret::new("");
            assert!(check_password(&chain, private("fred"), empty).await.is_err());
            assert!(
                check_password(&chain, private(""), Secret::new("p w"))
                    .await
                    .is_err()
            );
        }
        let distrusted = format!("ldap:host=127.0.0.1,tls=1,port={}", slapd.tls_port);
        let (refused, _) = log_in(&chain(&[&distrusted]), private("fred"), &offered(), &["p w"]).await;
        assert!(refused.unwrap_err().reason.starts_with("no answer from ldaps://"));
    }

    #[test]
    fn names_cannot_be_broken_out_of() {
        let ldap = Ldap {
            url: String::new(),
            tls: None,
            format: "cn=%username, o=%domain".to_owned(),
            domain: "home".to_owned(),
            account: None,
        };
        assert_eq!(ldap.name("fred"), "cn=fred, o=home");
        assert_eq!(ldap.name("fred@work"), "cn=fred, o=work");
        assert_eq!(ldap.name("a,o=x@%username"), "cn=a\\2co\\3dx, o=%username");
        for bad in [
            "host=a/b",
            "port=0",
            "encoding=latin1",
            "username-format=cn=fred",
            "cacert=/does/not/exist,tls=1",
        ] {
            error(&format!("ldap:{bad}"));
        }
    }
}
