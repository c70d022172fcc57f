//! Whole logins: what a client and a chain make of each other.

use std::sync::Arc;

use super::client::{Reaction, ServerChallenge, Sources};
use super::digest::{DIGESTS, Digest, Hash, SALT_DIGESTS};
use super::*;
use crate::address::{Secret, TransportKind};
use crate::transport::{LinkInfo, Nobody};

pub(super) fn link(peer: &str, is_private: bool) -> LinkInfo {
    LinkInfo {
        target: "tcp://127.0.0.1:1".to_owned(),
        local: "127.0.0.1:1".to_owned(),
        is_private,
        ..LinkInfo::new(TransportKind::Tcp, peer)
    }
}

/// A peer that came over a network where others can read along.
pub(super) fn remote(name: &str) -> Peer {
    Peer::new(link("192.0.2.1:4000", false)).named(name)
}

/// A peer on a private link.
pub(super) fn private(name: &str) -> Peer {
    Peer::new(link("192.0.2.1:4000", true)).named(name)
}

/// The context of a user who is not root.
pub(super) fn context() -> Context {
    Context {
        username: "fred".to_owned(),
        uid: 1000,
        ..Context::default()
    }
}

pub(super) fn chain_in(context: &Context, values: &[&str]) -> Arc<Chain> {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    Arc::new(Chain::parse(&values, context).unwrap())
}

pub(super) fn chain(values: &[&str]) -> Arc<Chain> {
    chain_in(&context(), values)
}

pub(super) fn error(value: &str) -> String {
    Chain::parse(&[value.to_owned()], &context())
        .unwrap_err()
        .to_string()
}

pub(super) fn offered() -> Offered {
    Offered {
        digests: DIGESTS.map(str::to_owned).to_vec(),
        salt_digests: SALT_DIGESTS.map(str::to_owned).to_vec(),
        expects_challenge: false,
    }
}

/// A client that has these passwords, one for each challenge.
pub(super) fn handlers(passwords: &[&str]) -> Handlers {
    let names = (0..passwords.len()).map(|n| format!("P{n}"));
    let sources = Sources {
        password: None,
        password_files: Vec::new(),
        variables: names.zip(passwords.iter().map(ToString::to_string)).collect(),
        prompt: Arc::new(Nobody),
        allow_unencrypted: false,
    };
    let values: Vec<String> = (0..passwords.len()).map(|n| format!("env:name=P{n}")).collect();
    match values.is_empty() {
        true => Handlers::parse(&["none".to_owned()], &sources).unwrap(),
        false => Handlers::parse(&values, &sources).unwrap(),
    }
}

/// A whole login over the wire's challenges; also how many there were.
pub(super) async fn log_in(
    chain: &Arc<Chain>,
    peer: Peer,
    offered: &Offered,
    passwords: &[&str],
) -> (Result<Grant, Refusal>, Vec<Challenge>) {
    let is_private = peer.info.is_private;
    let mut login = Login::new(Arc::clone(chain), peer);
    let mut client = handlers(passwords);
    let mut challenges = Vec::new();
    let mut step = login.step(offered);
    loop {
        step = match step {
            Step::Challenge(challenge) => {
                let (digest, salt_digest) = (challenge.digest.to_string(), challenge.salt_digest.to_string());
                let received = ServerChallenge {
                    salt: &challenge.salt,
                    digest: &digest,
                    salt_digest: &salt_digest,
                    prompt: &challenge.prompt,
                };
                let reaction = client.answer(&received, is_private).unwrap();
                challenges.push(challenge);
                match reaction {
                    Reaction::Answer(answer) => login.answer(answer),
                    Reaction::Ask(_) => unreachable!(),
                }
            }
            Step::Check(decision) => login.checked(decision.await),
            Step::Granted(grant) => return (Ok(grant), challenges),
            Step::Refused(refusal) => return (Err(refusal), challenges),
        };
    }
}

/// True when a login with these passwords succeeds.
pub(super) async fn passes(chain: &Arc<Chain>, peer: Peer, passwords: &[&str]) -> bool {
    log_in(chain, peer, &offered(), passwords).await.0.is_ok()
}

#[tokio::test]
async fn the_simple_modules() {
    for (module, asks, passes) in [
        ("none", 0, true),
        ("allow", 1, true),
        ("fail", 0, false),
        ("reject", 1, false),
        ("password:value=pw", 1, true),
        ("password:value=other", 1, false),
    ] {
        let (result, challenges) = log_in(&chain(&[module]), remote("fred"), &offered(), &["pw"]).await;
        assert_eq!((challenges.len(), result.is_ok()), (asks, passes), "{module}");
    }
}

#[tokio::test]
async fn all_modules_have_to_be_passed_in_order() {
    let chain = chain(&["password:value=one", "none", "password:value=two"]);
    assert!(passes(&chain, remote("fred"), &["one", "two"]).await);
    assert!(!passes(&chain, remote("fred"), &["two", "one"]).await);
    let (refused, challenges) = log_in(&chain, remote("fred"), &offered(), &["x", "two"]).await;
    assert_eq!(challenges.len(), 1);
    assert_eq!(refused.unwrap_err().to_string(), "password: wrong password");
    assert!(
        check_password(&chain, remote("fred"), Secret::new("one"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn without_modules_everybody_passes() {
    let chain = chain(&[]);
    assert!(chain.is_empty() && !chain.asks());
    assert!(passes(&chain, Peer::new(link("x", false)), &[]).await);
    assert!(check_password(&chain, remote("x"), Secret::new("")).await.is_ok());
}

#[tokio::test]
async fn a_client_that_expects_a_challenge_gets_one() {
    let expecting = Offered {
        expects_challenge: true,
        ..offered()
    };
    for module in [&["none"][..], &[]] {
        let (result, challenges) = log_in(&chain(module), remote("x"), &expecting, &["any"]).await;
        assert!(result.is_ok());
        assert_eq!(challenges.len(), 1);
    }
    let (result, challenges) = log_in(&chain(&["fail"]), remote("x"), &expecting, &["any"]).await;
    assert_eq!((result.is_err(), challenges.len()), (true, 0));
    let (result, challenges) =
        log_in(&chain(&["password:value=any"]), remote("x"), &expecting, &["any"]).await;
    assert_eq!((result.is_ok(), challenges.len()), (true, 1));
}

#[tokio::test]
async fn the_digest_depends_on_the_client_and_the_link() {
    let chain = chain(&["password:value=pw"]);
    let with = |digests: &[&str], salt_digests: &[&str]| Offered {
        digests: digests.iter().map(ToString::to_string).collect(),
        salt_digests: salt_digests.iter().map(ToString::to_string).collect(),
        expects_challenge: false,
    };
    let (result, challenges) = log_in(&chain, remote("x"), &offered(), &["pw"]).await;
    assert!(result.is_ok());
    let used = &challenges[0];
    assert_eq!(used.digest, Digest::Hmac(Hash::Sha512));
    assert_eq!((used.salt_digest, used.salt.len()), (Hash::Sha512, 64));
    let xor = with(&["xor"], &["hmac+sha256"]);
    let (result, challenges) = log_in(&chain, private("x"), &xor, &["pw"]).await;
    assert!(result.is_ok());
    assert_eq!(challenges[0].digest, Digest::Xor);
    for (peer, refused) in [
        (remote("x"), xor),
        (
            private("x"),
            with(&["hmac", "des", "hmac+sha1"], &["hmac+sha512"]),
        ),
        (private("x"), with(&["hmac+sha512"], &["xor", "des"])),
        (private("x"), with(&[], &[])),
    ] {
        let (result, challenges) = log_in(&chain, peer, &refused, &["pw"]).await;
        assert!(result.is_err() && challenges.is_empty());
    }
}

#[tokio::test]
async fn user_names() {
    let root = Context {
        username: "root".to_owned(),
        uid: 0,
        ..Context::default()
    };
    let name = |chain: Arc<Chain>, peer| async move {
        let (result, _) = log_in(&chain, peer, &offered(), &["pw"]).await;
        result.map(|grant| grant.username)
    };
    let user = "password:value=pw";
    let nobody = || Peer::new(link("x", false));
    // the name has no part in it, unless the server is root's
    assert_eq!(name(chain(&[user]), remote("x")).await, Ok(None));
    assert_eq!(name(chain(&[user]), nobody()).await, Ok(None));
    assert!(name(chain_in(&root, &[user]), remote("x")).await.is_err());
    assert!(name(chain_in(&root, &[user]), nobody()).await.is_err());
    let verified = Ok(Some("root".to_owned()));
    assert_eq!(name(chain_in(&root, &[user]), remote("root")).await, verified);
    let lax = "password:value=pw,verify-username=no";
    assert_eq!(name(chain_in(&root, &[lax]), remote("x")).await, Ok(None));
    assert!(
        name(chain(&["none:verify-username=yes"]), remote("x"))
            .await
            .is_err()
    );
    let clients = "password:value=pw,client-username=yes";
    assert_eq!(
        name(chain(&[clients]), remote("x")).await,
        Ok(Some("x".to_owned()))
    );
    assert!(name(chain(&[clients]), nobody()).await.is_err());
    assert!(
        name(chain(&[clients]), remote(&"x".repeat(1 << 20)))
            .await
            .is_err()
    );
    assert!(name(chain(&[clients]), remote("x\0y")).await.is_err());
}

#[test]
fn what_is_wrong_with_a_chain() {
    for (value, expected) in [
        ("pasword:value=x", "did you mean 'password'?"),
        ("password:valu=x", "has no option 'valu'; did you mean 'value'?"),
        (
            "password:secret=x",
            "it has: value, prompt, verify-username, client-username",
        ),
        ("password", "needs 'value'"),
        ("file", "needs 'filename'"),
        ("none:verify-username=maybe", "write yes or no"),
        ("peercred:uid=no-such-user", "write a number, or a name"),
        ("cert:fingerprint=abc", "write SHA256:"),
        ("kerberos-token", "there are: allow, "),
    ] {
        let error = error(value);
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn answers_are_good_once() {
    let chain = chain(&["password:value=one", "password:value=one"]);
    let mut login = Login::new(Arc::clone(&chain), remote("fred"));
    let Step::Challenge(challenge) = login.step(&offered()) else {
        panic!("no challenge");
    };
    let mut client = handlers(&["one", "one"]);
    let received = ServerChallenge {
        salt: &challenge.salt,
        digest: "hmac+sha512",
        salt_digest: "hmac+sha512",
        prompt: "",
    };
    let Reaction::Answer(answer) = client.answer(&received, false).unwrap() else {
        panic!("no answer");
    };
    let Step::Check(decision) = login.answer(answer.clone()) else {
        panic!("no check");
    };
    let Step::Challenge(second) = login.checked(decision.await) else {
        panic!("no second challenge");
    };
    assert_ne!(challenge.salt, second.salt);
    let Step::Check(decision) = login.answer(answer.clone()) else {
        panic!("no check");
    };
    assert!(matches!(login.checked(decision.await), Step::Refused(_)));
    // and after the end, or before a challenge, there is nothing to answer
    assert!(matches!(login.answer(answer.clone()), Step::Refused(_)));
    assert!(matches!(
        Login::new(chain, remote("fred")).answer(answer),
        Step::Refused(_)
    ));
}

#[tokio::test]
async fn hostile_answers() {
    let chain = chain(&["password:value=one"]);
    for (response, salt) in [
        (vec![], vec![0; 32]),
        (vec![b'0'; 128], vec![0; 32]),
        (vec![b'0'; 128], vec![]),
        (vec![b'0'; 128], vec![0; 1 << 20]),
        (vec![b'0'; 1 << 20], vec![0; 32]),
    ] {
        let mut login = Login::new(Arc::clone(&chain), remote("fred"));
        assert!(matches!(login.step(&offered()), Step::Challenge(_)));
        let answer = Answer {
            response: Secret::new(response),
            client_salt: salt,
        };
        let step = match login.answer(answer) {
            Step::Check(decision) => login.checked(decision.await),
            step => step,
        };
        assert!(matches!(step, Step::Refused(_)));
        assert!(matches!(login.step(&offered()), Step::Refused(_)));
    }
}

#[tokio::test]
async fn empty_passwords_let_nobody_in() {
    let chain = chain(&["env:name=UNSET"]);
    for peer in [remote("fred"), private("fred")] {
        assert!(
            check_password(&chain, peer.clone(), Secret::new(""))
                .await
                .is_err()
        );
        let mut login = Login::new(Arc::clone(&chain), peer);
        let Step::Challenge(challenge) = login.step(&offered()) else {
            panic!("no challenge");
        };
        let salts = digest::combine_salts(challenge.salt_digest, &[1; 32], &challenge.salt);
        let Step::Check(decision) = login.answer(Answer {
            response: Secret::new(challenge.digest.respond(&Secret::new(""), &salts)),
            client_salt: vec![1; 32],
        }) else {
            panic!("no check");
        };
        assert!(matches!(login.checked(decision.await), Step::Refused(_)));
    }
}
