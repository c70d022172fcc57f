//! Our client against our server. Real peers are in `netem`.

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKeyOrCertificate};
use russh::{Limits, SshId};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::*;
use crate::address::{Bind, Secret, TransportKind};
use crate::transport::{
    LinkInfo, ListenOptions, Listener, Prompt, conformance, connect as connect_link, listen,
};

const LIMIT: Duration = Duration::from_secs(60);

/// Says what it was told to, and remembers what it was asked.
#[derive(Debug, Default)]
struct Answers {
    trusts: Option<bool>,
    secrets: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<String>>,
}

impl Prompt for Answers {
    fn confirm(&self, question: &str) -> Option<bool> {
        self.asked.lock().unwrap().push(question.to_owned());
        self.trusts
    }

    fn secret(&self, what: &str) -> Option<Secret> {
        self.asked.lock().unwrap().push(what.to_owned());
        self.secrets.lock().unwrap().pop().map(Secret::new)
    }
}

/// Knows one password.
#[derive(Debug)]
struct Password(&'static str);

impl PasswordCheck for Password {
    fn check<'a>(
        &'a self,
        user: &'a str,
        password: Secret,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async move { user == "user" && password == Secret::new(self.0) })
    }
}

/// A server and the home of a client, whose key it lets in.
struct World {
    directory: TempDir,
    listener: Arc<Listener>,
    server: Arc<SshServer>,
}

impl World {
    async fn new(change: impl FnOnce(&mut SshServerOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        fs::create_dir_all(home.join(".ssh")).unwrap();
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
        fs::write(
            home.join(".ssh/id_ed25519"),
            key.to_openssh(LineEnding::LF).unwrap(),
        )
        .unwrap();
        let authorized = directory.path().join("authorized_keys");
        fs::write(&authorized, key.public_key().to_openssh().unwrap()).unwrap();
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o600)).unwrap();
        let mut options = SshServerOptions {
            key_directory: directory.path().join("keys"),
            authorized_keys: Some(authorized),
            ..SshServerOptions::default()
        };
        change(&mut options);
        let server = Arc::new(SshServer::new(options).unwrap());
        let bind = Bind::parse(TransportKind::Ssh, "127.0.0.1:0", 0).unwrap();
        let listener = listen(&bind, &ListenOptions::default()).await.unwrap().remove(0);
        Self {
            directory,
            listener: Arc::new(listener),
            server,
        }
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    fn known_hosts(&self) -> PathBuf {
        self.home().join(".ssh/known_hosts")
    }

    fn url(&self) -> String {
        format!(
            "ssh://user@127.0.0.1:{}/7",
            self.listener.address().unwrap().port()
        )
    }

    fn options(&self, prompt: Answers) -> ConnectOptions {
        ConnectOptions {
            timeout: Duration::ZERO,
            prompt: Arc::new(prompt),
            ssh: SshOptions {
                backend: Backend::Builtin,
                home: Some(self.home()),
                ..SshOptions::default()
            },
            ..ConnectOptions::default()
        }
    }

    async fn connect(&self, url: &str, prompt: Answers) -> Result<(Link, Link), ConnectError> {
        self.connect_with(url, self.options(prompt)).await
    }

    async fn connect_with(&self, url: &str, options: ConnectOptions) -> Result<(Link, Link), ConnectError> {
        let (listener, server) = (Arc::clone(&self.listener), Arc::clone(&self.server));
        let serving = tokio::spawn(async move { serve(listener.accept().await.unwrap(), &server).await });
        let client = timeout(LIMIT, connect_link(&url.parse().unwrap(), &options))
            .await
            .unwrap();
        let served = async || timeout(LIMIT, serving).await.unwrap().unwrap();
        match client {
            Ok(client) => Ok((client, served().await.unwrap())),
            Err(error) => {
                assert!(served().await.is_err(), "the server serves nobody");
                Err(error)
            }
        }
    }
}

fn trusting() -> Answers {
    Answers {
        trusts: Some(true),
        ..Answers::default()
    }
}

fn secrets(secrets: &[&'static str]) -> Answers {
    Answers {
        secrets: Mutex::new(secrets.iter().rev().copied().collect()),
        ..trusting()
    }
}

fn reason(error: &ConnectError) -> &str {
    match error {
        ConnectError::Ssh { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let world = World::new(|_| {}).await;
    conformance::layered(async || world.connect(&world.url(), trusting()).await.unwrap()).await;
}

#[tokio::test]
async fn facts_of_both_ends() {
    let world = World::new(|_| {}).await;
    let (client, server) = world.connect(&world.url(), trusting()).await.unwrap();
    for info in [&client.info, &server.info] {
        assert_eq!(info.kind, TransportKind::Ssh);
        assert!(info.is_private);
        assert!(info.probe.kernel_info().is_some());
    }
    assert_eq!(client.info.target, world.url());
    assert_eq!(client.info.peer, server.info.local);
    assert_eq!(server.info.username.as_deref(), Some("user"));
    assert!(!client.info.is_local);
}

/// Sends `size` bytes to a server that reads only what it has written back, and reads them haltingly, so that it is
/// the server who waits for a window most of the time.
async fn echo(world: &World, size: usize) {
    let (client, mut server) = world.connect(&world.url(), trusting()).await.unwrap();
    let echo = tokio::spawn(async move {
        let mut buffer = vec![0; 256 << 10];
        loop {
            match server.stream.read(&mut buffer).await.unwrap() {
                0 => break,
                n => server.stream.write_all(&buffer[..n]).await.unwrap(),
            }
        }
        server.stream.shutdown().await.unwrap();
    });
    let (mut read, mut write) = tokio::io::split(client.stream);
    let writer = tokio::spawn(async move {
        let block: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
        for _ in 0..size >> 20 {
            write.write_all(&block).await.unwrap();
        }
        write.shutdown().await.unwrap();
    });
    let mut buffer = vec![0; 1 << 20];
    let mut received = 0usize;
    loop {
        let n = timeout(LIMIT, read.read(&mut buffer))
            .await
            .unwrap_or_else(|_| panic!("a stall after {received} bytes"))
            .unwrap();
        if n == 0 {
            break;
        }
        assert!(
            buffer[..n]
                .iter()
                .zip(received..)
                .all(|(byte, at)| usize::from(*byte) == at & 0xff)
        );
        received += n;
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(received, size);
    writer.await.unwrap();
    echo.await.unwrap();
}

/// What the server has not read does not grow from one window to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_never_stalls() {
    let world = World::new(|_| {}).await;
    echo(&world, 128 << 20).await;
}

/// Nothing is sent until the peer has answered, and its answer comes after data that nobody reads meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_outlives_new_keys() {
    let mut world = World::new(|_| {}).await;
    let server = Arc::get_mut(&mut world.server).unwrap();
    let config = Arc::get_mut(&mut server.config).unwrap();
    config.limits = Limits::new(3 << 20, 3 << 20, LIMIT);
    echo(&world, 32 << 20).await;
}

/// Both windows full at once, and nobody reads until then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_do_not_wait_for_each_other() {
    const SIZE: usize = 16 << 20;
    let world = World::new(|_| {}).await;
    let (client, server) = world.connect(&world.url(), trusting()).await.unwrap();
    let push_then_pull = |mut link: Link| {
        tokio::spawn(async move {
            link.stream.write_all(&vec![7; SIZE]).await.unwrap();
            let mut received = vec![0; SIZE];
            link.stream.read_exact(&mut received).await.unwrap();
            assert!(received.iter().all(|byte| *byte == 7));
        })
    };
    let (one, other) = (push_then_pull(client), push_then_pull(server));
    timeout(LIMIT, async { tokio::try_join!(one, other) })
        .await
        .expect("a stall")
        .unwrap();
}

#[tokio::test]
async fn an_unknown_host_is_asked_about_once_and_a_changed_one_refused() {
    let world = World::new(|_| {}).await;
    let nobody = world.connect(&world.url(), Answers::default()).await.unwrap_err();
    assert!(
        matches!(&nobody, ConnectError::SshHostKey { reason, .. } if reason.contains("SHA256:")),
        "{nobody}"
    );
    let no = Answers {
        trusts: Some(false),
        ..Answers::default()
    };
    let refused = world.connect(&world.url(), no).await.unwrap_err();
    assert!(matches!(refused, ConnectError::SshHostKey { .. }));
    assert!(!world.known_hosts().exists());
    let strict = format!("{}?strict-host-check=yes", world.url());
    assert!(matches!(
        world.connect(&strict, trusting()).await,
        Err(ConnectError::SshHostKey { .. })
    ));
    drop(world.connect(&world.url(), trusting()).await.unwrap());
    drop(world.connect(&world.url(), Answers::default()).await.unwrap());
    drop(world.connect(&strict, Answers::default()).await.unwrap());
    // somebody else's key
    let other = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
    let line = fs::read_to_string(world.known_hosts()).unwrap();
    let name = line.split(' ').next().unwrap();
    let key = other.public_key().to_openssh().unwrap();
    fs::write(world.known_hosts(), format!("# mine\n{name} {key}\n")).unwrap();
    let changed = world
        .connect(&world.url(), trusting())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        changed.contains(&format!("remove line 2 of '{}'", world.known_hosts().display())),
        "{changed}"
    );
}

#[tokio::test]
async fn passphrases_are_asked_for() {
    let world = World::new(|_| {}).await;
    let path = world.home().join(".ssh/id_ed25519");
    let key = russh::keys::load_secret_key(&path, None).unwrap();
    let encrypted = key.encrypt(&mut safe_rng(), "right").unwrap();
    fs::write(&path, encrypted.to_openssh(LineEnding::LF).unwrap()).unwrap();
    let wrong = world
        .connect(&world.url(), secrets(&["wrong", "worse", "worst"]))
        .await
        .unwrap_err();
    assert!(reason(&wrong).contains("wrong passphrases"), "{wrong}");
    let none = world.connect(&world.url(), trusting()).await.unwrap_err();
    assert!(reason(&none).contains("nothing to log in with"), "{none}");
    drop(
        world
            .connect(&world.url(), secrets(&["wrong", "right"]))
            .await
            .unwrap(),
    );
}

#[tokio::test]
async fn passwords_are_taken_from_the_address_or_asked_for() {
    let world = World::new(|options| {
        options.authorized_keys = None;
        options.passwords = Some(Arc::new(Password("right")));
    })
    .await;
    let url = world.url();
    drop(world.connect(&url, secrets(&["wrong", "right"])).await.unwrap());
    let given = url.replace("user@", "user:right@");
    drop(world.connect(&given, trusting()).await.unwrap());
    let wrong = world
        .connect(&url, secrets(&["a", "b", "c", "right"]))
        .await
        .unwrap_err();
    assert!(reason(&wrong).contains("may not log in"), "{wrong}");
    let other = url.replace("user@", "other:right@");
    assert!(world.connect(&other, trusting()).await.is_err());
}

#[tokio::test]
async fn keys_open_for_their_owner_only() {
    let world = World::new(|options| options.username = Some("owner".to_owned())).await;
    assert!(world.connect(&world.url(), trusting()).await.is_err());
    let owner = world.url().replace("user@", "owner@");
    drop(world.connect(&owner, trusting()).await.unwrap());
}

#[tokio::test]
async fn everybody_is_let_in_only_when_the_caller_says_so() {
    let mut nobody = SshServerOptions {
        key_directory: tempfile::tempdir().unwrap().keep(),
        ..SshServerOptions::default()
    };
    assert!(matches!(
        SshServer::new(nobody.clone()),
        Err(SshServerError::NobodyMayEnter)
    ));
    fs::remove_dir_all(std::mem::take(&mut nobody.key_directory)).unwrap();
    let world = World::new(|options| {
        options.authorized_keys = None;
        options.allow_none = true;
    })
    .await;
    let mut options = world.options(trusting());
    fs::remove_file(world.home().join(".ssh/id_ed25519")).unwrap();
    options.ssh.username = Some("anybody".to_owned());
    let url = world.url().replace("user@", "");
    let (_, server) = world.connect_with(&url, options).await.unwrap();
    assert_eq!(server.info.username.as_deref(), Some("anybody"));
}

#[tokio::test]
async fn the_configuration_says_where_and_who() {
    let world = World::new(|_| {}).await;
    let port = world.listener.address().unwrap().port();
    let other = world.home().join("other-key");
    fs::rename(world.home().join(".ssh/id_ed25519"), &other).unwrap();
    let config = format!(
        "Host box\n HostName 127.0.0.1\n Port {port}\n User configured\n IdentityFile ~/other-key\n \
         UserKnownHostsFile ~/known\n StrictHostKeyChecking accept-new\n"
    );
    fs::write(world.home().join(".ssh/config"), config).unwrap();
    let (_, server) = world.connect("ssh:box:7", Answers::default()).await.unwrap();
    assert_eq!(server.info.username.as_deref(), Some("configured"));
    assert!(
        fs::read_to_string(world.home().join("known"))
            .unwrap()
            .starts_with("[127.0.0.1]:")
    );
}

#[tokio::test]
async fn only_the_proxy_is_run() {
    let world = World::new(|_| {}).await;
    let mut options = world.options(trusting());
    options.ssh.remote_xpra = vec!["/usr/bin/evil".to_owned()];
    let refused = world.connect_with(&world.url(), options).await.unwrap_err();
    assert!(reason(&refused).contains("runs no commands"), "{refused}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_or_nonsense_is_let_go() {
    let world = World::new(|_| {}).await;
    let address = world.listener.address().unwrap();
    let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let serving = serve(world.listener.accept().await.unwrap(), &world.server);
    silent
        .write_all(b"SSH-2.0-x\r\n\xff\xff\xff\xffgarbage that is no packet of anything")
        .await
        .unwrap();
    assert!(timeout(LIMIT, serving).await.unwrap().is_err());
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let serving = serve(world.listener.accept().await.unwrap(), &world.server);
    drop(silent);
    assert!(timeout(LIMIT, serving).await.unwrap().is_err());
    // the server is as good as new
    drop(world.connect(&world.url(), trusting()).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_peer_has_its_time_and_no_more() {
    let world = World::new(|_| {}).await;
    let (_ours, theirs) = tokio::io::duplex(1 << 16);
    let info = LinkInfo::new(TransportKind::Tcp, "peer");
    let served = serve(Link::new(theirs, info), &world.server).await;
    assert_eq!(served.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
}

/// A client of another make that tries to log in with nothing, and then asks for the session.
async fn knock(world: &World, client_id: &'static str) -> Option<Link> {
    struct Trusting;
    impl russh::client::Handler for Trusting {
        type Error = russh::Error;

        async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
            Ok(true)
        }
    }
    let (listener, server) = (Arc::clone(&world.listener), Arc::clone(&world.server));
    let serving = tokio::spawn(async move { serve(listener.accept().await.unwrap(), &server).await });
    let config = russh::client::Config {
        client_id: SshId::Standard(client_id.into()),
        ..russh::client::Config::default()
    };
    let address = world.listener.address().unwrap();
    let mut session = russh::client::connect(Arc::new(config), address, Trusting)
        .await
        .unwrap();
    if session.authenticate_none("user").await.unwrap().success() {
        let channel = session.channel_open_session().await.unwrap();
        channel.exec(true, "xpra _proxy :7").await.unwrap();
    } else {
        drop(session);
    }
    timeout(LIMIT, serving).await.unwrap().unwrap().ok()
}

#[tokio::test]
async fn only_clients_with_one_attempt_are_left_to_the_session_and_only_if_it_asks() {
    const PARAMIKO: &str = "SSH-2.0-paramiko_2.12.0";
    let asking = World::new(|options| options.session_asks = true).await;
    let link = knock(&asking, PARAMIKO).await.unwrap();
    assert_eq!(link.info.username, None, "it did not log in");
    assert!(knock(&asking, "SSH-2.0-OpenSSH_9.2").await.is_none());
    // everybody else still logs in
    let (_, server) = asking.connect(&asking.url(), trusting()).await.unwrap();
    assert_eq!(server.info.username.as_deref(), Some("user"));
    let keys_only = World::new(|_| {}).await;
    assert!(knock(&keys_only, PARAMIKO).await.is_none());
}
