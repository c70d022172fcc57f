//! Handlers of a client, without a server.

use super::*;
use crate::transport::Nobody;
use std::sync::Mutex;

/// Somebody who types this.
#[derive(Debug)]
struct Typist(Mutex<Vec<String>>);

impl Prompt for Typist {
    fn confirm(&self, _: &str) -> Option<bool> {
        None
    }

    fn secret(&self, what: &str) -> Option<Secret> {
        self.0.lock().unwrap().push(what.to_owned());
        Some(Secret::new("typed"))
    }
}

fn sources() -> Sources {
    Sources {
        password: Some(Secret::new("of the address")),
        password_files: Vec::new(),
        variables: BTreeMap::from([
            ("XPRA_PASSWORD".to_owned(), "of the environment".to_owned()),
            ("P".to_owned(), "of P".to_owned()),
        ]),
        prompt: Arc::new(Nobody),
        allow_unencrypted: false,
    }
}

const CHALLENGE: ServerChallenge<'static> = ServerChallenge {
    salt: &[7; 64],
    digest: "xor",
    salt_digest: "hmac+sha256",
    prompt: "",
};

/// The passwords that are given for one challenge after the other.
fn given(list: &str, sources: &Sources) -> Vec<String> {
    let values: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    let mut handlers = Handlers::parse(&values, sources).unwrap();
    let mut given = Vec::new();
    loop {
        let answer = match handlers.answer(&CHALLENGE, true) {
            Ok(Reaction::Answer(answer)) => Ok(answer),
            Ok(Reaction::Ask(question)) => question.ask(),
            Err(error) => Err(error),
        };
        let Ok(answer) = answer else {
            return given;
        };
        let salts = combine_salts(Hash::Sha256, &answer.client_salt, CHALLENGE.salt);
        let password = super::super::digest::reveal(answer.response.expose(), &salts);
        given.push(password.expose_text().into_owned());
    }
}

#[test]
fn all_handlers_have_an_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let typist = Arc::new(Typist(Mutex::default()));
    let mut all = sources();
    all.password_files = vec![file("a", "of a\n"), file("b", "of b")];
    all.prompt = Arc::clone(&typist) as Arc<dyn Prompt>;
    let expected = [
        "of the address",
        "of a\n",
        "of b",
        "of the environment",
        "typed",
        "typed",
        "typed",
    ];
    assert_eq!(given("", &all), expected);
    assert_eq!(given("all", &all), expected);
    let path = directory.path().join("b");
    let path = path.display();
    let list = format!("env:name=P,file:filename={path} uri,env,file:{path} file,filename={path}");
    let expected = [
        "of P",
        "of b",
        "of the address",
        "of the environment",
        "of b",
        "of b",
    ];
    assert_eq!(given(&list, &all), expected);
    assert_eq!(given("none", &all), [""; 0]);
    assert_eq!(typist.0.lock().unwrap().len(), 6);
}

#[test]
fn what_is_not_there_is_passed_over() {
    let mut few = sources();
    few.password = None;
    assert_eq!(given("", &few), ["of the environment"]);
    assert_eq!(given("env:name=NONE prompt", &few), [""; 0]);
    assert!(
        !Handlers::parse(&["prompt".to_owned()], &few)
            .unwrap()
            .has_password()
    );
    let mut none = Handlers::parse(&["none".to_owned()], &few).unwrap();
    let error = none.answer(&CHALLENGE, true).unwrap_err();
    assert!(matches!(error, ClientAuthError::NoPassword(_)));
}

#[test]
fn what_a_server_may_not_ask() {
    let refused = |challenge: ServerChallenge<'_>, is_safe, allow_unencrypted| {
        let sources = Sources {
            allow_unencrypted,
            ..sources()
        };
        let answer = Handlers::parse(&[], &sources)
            .unwrap()
            .answer(&challenge, is_safe);
        match answer {
            Ok(_) => false,
            Err(ClientAuthError::Refused(_)) => true,
            Err(error) => panic!("{error}"),
        }
    };
    let with = |digest, salt_digest| ServerChallenge {
        digest,
        salt_digest,
        ..CHALLENGE
    };
    assert!(refused(CHALLENGE, false, false));
    assert!(!refused(CHALLENGE, true, false));
    assert!(!refused(CHALLENGE, false, true));
    assert!(!refused(with("hmac+sha512", "hmac+sha512"), false, false));
    for digest in [
        "des",
        "hmac",
        "hmac+md5",
        "kerberos:service",
        "u2f:xor",
        "scram-sha-256",
        "",
    ] {
        assert!(refused(with(digest, "hmac+sha512"), true, true), "{digest}");
    }
    for salt_digest in ["xor", "des", "hmac", ""] {
        assert!(
            refused(with("hmac+sha512", salt_digest), true, true),
            "{salt_digest}"
        );
    }
    for salt in [&[][..], &[0; 15], &[0; 5000]] {
        assert!(refused(ServerChallenge { salt, ..CHALLENGE }, true, true));
    }
}

#[test]
fn wrong_files_and_names() {
    let parse = |text: &str| Handlers::parse(&[text.to_owned()], &sources());
    let missing = parse("file:filename=/does/not/exist")
        .unwrap()
        .answer(&CHALLENGE, true);
    assert!(matches!(
        missing.unwrap_err(),
        ClientAuthError::PasswordFile { .. }
    ));
    let error = parse("prompt,fil").unwrap_err().to_string();
    assert!(error.contains("did you mean 'file'?"), "{error}");
    for name in UNSUPPORTED {
        let error = parse(name).unwrap_err();
        assert_eq!(error, ClientAuthError::UnsupportedHandler(name.to_owned()));
    }
}

#[test]
fn the_servers_words_are_cleaned() {
    assert_eq!(question(""), "Password");
    assert_eq!(question("  PIN: "), "PIN");
    assert_eq!(question("a\x1b[2Jb\n"), "a[2Jb");
    assert_eq!(question(&"x".repeat(10_000)).len(), 200);
}
