//! Whose certificate a client takes, and what it remembers.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::address::Secret;
use crate::transport::Prompt;

/// A user who answers every question alike, and counts them.
#[derive(Debug, Default)]
struct User {
    answer: bool,
    asked: AtomicUsize,
}

impl Prompt for User {
    fn confirm(&self, question: &str) -> Option<bool> {
        assert!(
            question.contains("SHA256:") && question.contains("127.0.0.1"),
            "{question}"
        );
        self.asked.fetch_add(1, Ordering::Relaxed);
        Some(self.answer)
    }

    fn secret(&self, _: &str) -> Option<Secret> {
        None
    }
}

/// A server on TCP that says `hello` to all, the way to it, and where a client remembers it.
struct Host {
    address: Address,
    options: ConnectOptions,
    user: Arc<User>,
    directory: tempfile::TempDir,
    server: ServerTls,
}

impl Host {
    async fn new(params: &CertificateParams, answer: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cert = self_signed(params).save(directory.path(), "cert.pem");
        let server = ServerTls::new(&server_options(cert), now()).unwrap();
        let (listener, address) = listener().await;
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Ok(link) = listener.accept().await {
                if let Ok(mut link) = accepting.accept(link).await {
                    link.stream.write_all(b"hello").await.unwrap();
                    link.stream.shutdown().await.unwrap();
                }
            }
        });
        let user = Arc::new(User {
            answer,
            ..User::default()
        });
        let options = ConnectOptions {
            prompt: Arc::clone(&user) as _,
            tls: ClientTlsOptions {
                hosts: Some(directory.path().join("hosts")),
                ..ClientTlsOptions::default()
            },
            ..ConnectOptions::default()
        };
        Self {
            address: address.parse().unwrap(),
            options,
            user,
            directory,
            server,
        }
    }

    async fn connect(&self) -> Result<Link, TlsError> {
        match connect(&self.address, &self.options).await {
            Ok(mut link) => {
                let mut text = String::new();
                link.stream.read_to_string(&mut text).await.unwrap();
                assert_eq!(text, "hello");
                Ok(link)
            }
            Err(ConnectError::Tls(error)) => Err(error),
            Err(error) => panic!("{error}"),
        }
    }

    fn asked(&self) -> usize {
        self.user.asked.load(Ordering::Relaxed)
    }

    fn saved(&self) -> PathBuf {
        let crate::address::Target::Remote(remote) = &self.address.target else {
            panic!()
        };
        self.directory
            .path()
            .join(format!("hosts/127.0.0.1_{}/cert.pem", remote.port))
    }

    fn change(&self, params: &CertificateParams) {
        self_signed(params).save(self.directory.path(), "cert.pem");
        self.server.reload().unwrap();
    }
}

#[tokio::test]
async fn a_new_host_is_asked_about_once_and_a_changed_one_refused() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new(&params(&["127.0.0.1"]), true).await;
    let link = host.connect().await.unwrap();
    let facts = link.info.tls.unwrap();
    assert!(facts.is_verified && link.info.is_private);
    assert_eq!(facts.version, "TLSv1.3");
    assert_eq!(
        facts.peer,
        Some(host.server.certificate().fingerprint.to_string())
    );
    assert_eq!(facts.peer_subject.as_deref(), Some("CN=127.0.0.1"));
    assert_eq!(host.asked(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&host.saved()), 0o600);
    assert_eq!(mode(host.saved().parent().unwrap()), 0o700);

    host.connect().await.unwrap();
    assert_eq!(host.asked(), 1);

    host.change(&params(&["127.0.0.1"]));
    let error = host.connect().await.unwrap_err();
    assert!(
        matches!(&error, TlsError::Changed { file, .. } if *file == host.saved()),
        "{error}"
    );
    assert!(error.is_verification());
    assert_eq!(host.asked(), 1);

    fs::remove_file(host.saved()).unwrap();
    host.connect().await.unwrap();
    assert_eq!(host.asked(), 2);
}

#[tokio::test]
async fn without_a_yes_nothing_is_trusted() {
    let mut host = Host::new(&params(&["127.0.0.1"]), false).await;
    let error = host.connect().await.unwrap_err();
    assert!(matches!(error, TlsError::Untrusted(_)));
    assert_eq!(host.asked(), 1);

    host.options.prompt = Arc::new(crate::transport::Nobody);
    let error = host.connect().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&host.server.certificate().fingerprint.to_string()),
        "{text}"
    );
    assert!(
        text.contains("self-signed") && text.contains("--ssl-ca-certs"),
        "{text}"
    );

    host.options.tls.host_check = HostCheck::Yes;
    host.options.prompt = Arc::clone(&host.user) as _;
    host.connect().await.unwrap_err();
    assert_eq!(host.asked(), 1);
    assert!(!host.saved().exists());
}

#[tokio::test]
async fn without_a_check_new_hosts_are_remembered_and_changed_ones_refused() {
    let mut host = Host::new(&params(&["127.0.0.1"]), false).await;
    host.address = format!("{}?strict-host-check=no", host.address).parse().unwrap();
    host.connect().await.unwrap();
    assert!(host.saved().exists());
    host.change(&params(&["127.0.0.1"]));
    assert!(matches!(
        host.connect().await.unwrap_err(),
        TlsError::Changed { .. }
    ));
    assert_eq!(host.asked(), 0);
}

#[tokio::test]
async fn what_cannot_be_saved_is_trusted_while_it_lasts() {
    let mut host = Host::new(&params(&["127.0.0.1"]), true).await;
    host.options.tls.hosts = Some(PathBuf::from("/proc/hosts"));
    host.connect().await.unwrap();
    host.options.tls.hosts = None;
    host.connect().await.unwrap();
    assert_eq!(host.asked(), 2);
}

#[tokio::test]
async fn nothing_makes_up_for_a_wrong_date() {
    let mut expired = params(&["127.0.0.1"]);
    expired.not_after = (now() - DAY / 2).into();
    let host = Host::new(&expired, true).await;
    let error = host.connect().await.unwrap_err();
    assert!(
        matches!(&error, TlsError::Invalid { reason, .. } if reason.contains("expired")),
        "{error}"
    );

    // not even having trusted it before
    fs::create_dir_all(host.saved().parent().unwrap()).unwrap();
    fs::copy(host.directory.path().join("cert.pem"), host.saved()).unwrap();
    assert!(matches!(
        host.connect().await.unwrap_err(),
        TlsError::Invalid { .. }
    ));
    // nor naming it
    let mut named = host.options.clone();
    named.tls.ca_certs = CaCerts::Path(host.saved());
    let error = connect(&host.address, &named).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Tls(TlsError::Invalid { .. })),
        "{error}"
    );

    let mut early = params(&["127.0.0.1"]);
    early.not_before = (now() + DAY / 2).into();
    host.change(&early);
    fs::remove_file(host.saved()).unwrap();
    let error = host.connect().await.unwrap_err();
    assert!(
        matches!(&error, TlsError::Invalid { reason, .. } if reason.contains("not valid yet")),
        "{error}"
    );
    assert_eq!(host.asked(), 0);
}

/// What the client says about a server with that certificate.
async fn verdict(pair: &Pair, client: &ClientTlsOptions) -> Result<(), TlsError> {
    let directory = tempfile::tempdir().unwrap();
    let cert = pair.save(directory.path(), "cert.pem");
    let server = ServerTls::new(&server_options(cert), now()).unwrap();
    let (client, _) = shake(&server, client).await;
    client.map(|_| ())
}

fn naming(pem: &str) -> ClientTlsOptions {
    ClientTlsOptions {
        ca_data: Some(pem.to_owned()),
        ..ClientTlsOptions::default()
    }
}

fn reason(result: Result<(), TlsError>) -> String {
    match result {
        Err(TlsError::Untrusted(untrusted)) => untrusted.reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn authorities_and_names() {
    let authority = authority("test authority");
    let right = signed(&params(&["localhost"]), &authority);
    let client = naming(&authority.pem());
    verdict(&right, &client).await.unwrap();

    assert!(reason(verdict(&right, &ClientTlsOptions::default()).await).contains("nobody known vouches"));

    let wrong = signed(&params(&["elsewhere"]), &authority);
    assert_eq!(
        reason(verdict(&wrong, &client).await),
        "it is for elsewhere, not for localhost"
    );
    let mut lax = client.clone();
    lax.check_hostname = false;
    verdict(&wrong, &lax).await.unwrap();
    let mut other = client.clone();
    other.server_hostname = Some("elsewhere".to_owned());
    verdict(&wrong, &other).await.unwrap();

    let blind = ClientTlsOptions {
        server_verify_mode: VerifyMode::None,
        ..ClientTlsOptions::default()
    };
    verdict(&self_signed(&params(&["elsewhere"])), &blind)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_that_was_named_vouches_for_itself() {
    let mut params = params(&["localhost"]);
    let pair = self_signed(&params);
    verdict(&pair, &naming(&pair.cert)).await.unwrap();

    // as openssl makes them
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pair = self_signed(&params);
    verdict(&pair, &naming(&pair.cert)).await.unwrap();
    assert_eq!(
        reason(verdict(&pair, &ClientTlsOptions::default()).await),
        "it is self-signed"
    );

    // but for nobody else
    let (leaf, key) = (super::params(&["leaf"]), KeyPair::generate().unwrap());
    let leaf_pem = leaf.self_signed(&key).unwrap().pem();
    let pair = signed(&super::params(&["localhost"]), &Issuer::from_params(&leaf, key));
    assert!(reason(verdict(&pair, &naming(&leaf_pem)).await).contains("nobody known"));

    let pair = self_signed(&super::params(&["elsewhere"]));
    assert_eq!(
        reason(verdict(&pair, &naming(&pair.cert)).await),
        "it is for elsewhere, not for localhost"
    );
}

#[tokio::test]
async fn a_namesake_of_one_that_is_trusted_is_just_unknown() {
    let (trusted, other) = (
        self_signed(&params(&["localhost"])),
        self_signed(&params(&["localhost"])),
    );
    assert_eq!(
        reason(verdict(&other, &naming(&trusted.cert)).await),
        "it is self-signed"
    );
}

#[tokio::test]
async fn a_signature_of_somebody_else_is_never_accepted() {
    // by who calls itself as an authority that is trusted
    let real = authority("test authority");
    let false_one = authority("test authority");
    let pair = signed(&params(&["localhost"]), &false_one);
    let error = verdict(&pair, &naming(&real.pem())).await.unwrap_err();
    assert!(matches!(error, TlsError::Invalid { .. }), "{error:?}");

    // of the handshake itself, with a certificate that is in order but somebody else's
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let victim = self_signed(&params(&["localhost"]));
        let thief = self_signed(&params(&["localhost"]));
        let config = unchecked_server(&victim.cert, &thief.key, version);
        for mode in [VerifyMode::Required, VerifyMode::None] {
            let (near, far) = tokio::io::duplex(1 << 16);
            let mut options = naming(&victim.cert);
            options.server_verify_mode = mode;
            let client = ClientTls::new(&options).unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
            let (client, _) =
                tokio::join!(client.connect(link(near), "localhost", 443), acceptor.accept(far));
            let error = client.unwrap_err();
            assert!(matches!(error, TlsError::Handshake { .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn names_of_hosts_are_safe_names_of_directories() {
    let hosts = Path::new("/h");
    for (host, port, expected) in [
        ("Example.org", 443, "/h/example.org_443/cert.pem"),
        ("fe80::1%eth0", 1, "/h/fe80__1_eth0_1/cert.pem"),
        ("../../etc", 2, "/h/.._.._etc_2/cert.pem"),
        ("", 3, "/h/__3/cert.pem"),
    ] {
        assert_eq!(hosts::file(hosts, host, port), Path::new(expected));
    }
}
