//! Whatever is written in options, and whatever a peer answers: no panic, and nobody is let in by chance.

use std::sync::Arc;

use proptest::prelude::*;
use xpra::address::{Secret, TransportKind};
use xpra::auth::client::{ServerChallenge, Sources};
use xpra::auth::digest::{Digest, Hash, combine_salts, reveal};
use xpra::auth::{Answer, Chain, Context, Handlers, Login, Offered, Peer, Step};
use xpra::transport::{LinkInfo, Nobody, Probe};

fn peer(is_private: bool) -> Peer {
    Peer::new(LinkInfo {
        kind: TransportKind::Tcp,
        target: String::new(),
        local: String::new(),
        peer: "192.0.2.1:1".to_owned(),
        credentials: None,
        is_local: false,
        tls: None,
        username: None,
        is_private,
        probe: Probe::default(),
        descriptors: Default::default(),
    })
}

fn sources() -> Sources {
    Sources {
        password: Some(Secret::new("pw")),
        password_files: Vec::new(),
        variables: [].into(),
        prompt: Arc::new(Nobody),
        allow_unencrypted: false,
    }
}

proptest! {
    #[test]
    fn any_module_text_is_a_chain_or_an_error(text in "\\PC{0,60}", known in "(password|file|exec|hosts|otp|peercred|ratelimit|cert|multifile)[:,(][a-z=,:()\" \\\\']{0,30}") {
        for text in [text, known] {
            if let Err(error) = Chain::parse(&[text], &Context::default()) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn no_answer_by_chance_is_right(
        response in prop::collection::vec(any::<u8>(), 0..200),
        client_salt in prop::collection::vec(any::<u8>(), 0..70),
        digests in prop::collection::vec("(hmac\\+sha(512|384|256|224|1)|xor|des|hmac|[a-z:+]{0,9})", 0..5),
        is_private: bool,
    ) {
        let chain = Chain::parse(&["password:value=correct horse".to_owned()], &Context::default()).unwrap();
        let mut login = Login::new(Arc::new(chain), peer(is_private));
        let offered = Offered {
            salt_digests: digests.clone(),
            digests,
            expects_challenge: false,
        };
        let mut step = login.step(&offered);
        for _ in 0..3 {
            step = match step {
                Step::Challenge(challenge) => {
                    prop_assert!(is_private || challenge.digest != Digest::Xor);
                    prop_assert!(challenge.salt.len() >= 32);
                    login.answer(Answer { response: Secret::new(response.clone()), client_salt: client_salt.clone() })
                }
                Step::Check(decision) => {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    login.checked(runtime.block_on(decision))
                }
                end => end,
            };
        }
        prop_assert!(matches!(step, Step::Refused(_)));
    }

    #[test]
    fn any_challenge_is_answered_or_refused(
        salt in prop::collection::vec(any::<u8>(), 0..100),
        digest in "(hmac\\+sha(512|256)|xor|xor:x|\\PC{0,9})",
        salt_digest in "(hmac\\+sha(512|256)|xor|\\PC{0,9})",
        prompt in "\\PC{0,20}",
        is_safe: bool,
    ) {
        let mut handlers = Handlers::parse(&[], &sources()).unwrap();
        let challenge = ServerChallenge { salt: &salt, digest: &digest, salt_digest: &salt_digest, prompt: &prompt };
        if handlers.answer(&challenge, is_safe).is_ok() {
            prop_assert!(is_safe || digest.starts_with("hmac+"));
            prop_assert!(salt_digest.starts_with("hmac+"));
        }
    }

    #[test]
    fn any_handler_text_is_handlers_or_an_error(text in "\\PC{0,40}", known in "(all|env|file|prompt|uri)[:,=a-z]{0,20}") {
        for text in [text, known] {
            if let Err(error) = Handlers::parse(&[text], &sources()) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn what_is_told_is_understood(
        password in prop::collection::vec(any::<u8>(), 0..300),
        server_salt in prop::collection::vec(any::<u8>(), 0..100),
        client_salt in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let password = Secret::new(password);
        let salts = combine_salts(Hash::Sha512, &client_salt, &server_salt);
        prop_assert_eq!(&reveal(&Digest::Xor.respond(&password, &salts), &salts), &password);
        for digest in [Digest::Xor, Digest::Hmac(Hash::Sha256)] {
            prop_assert!(digest.is_proof(&digest.respond(&password, &salts), &password, &salts));
        }
    }
}
