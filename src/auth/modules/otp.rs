//! `otp`: codes that change with the time (RFC 6238), each good once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::BoxFuture;
use totp_rs::{Builder, Totp};

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Case, Demand, Denial, Judgement, Module, Proof, decided};
use super::super::settings::Settings;
use crate::address::Secret;

/// Seconds for which a code is shown.
const STEP: u64 = 30;

/// What authenticators may have as secrets, in bytes.
const SECRET: std::ops::RangeInclusive<usize> = 10..=128;

struct Otp {
    codes: Totp,
    /// How many codes before and after the present one are good as well: clocks differ, and people are slow.
    window: u64,
    /// The step of the last code that was used.
    used: Mutex<u64>,
}

pub(crate) fn build(settings: &Settings, context: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let Some(text) = settings.get("secret") else {
        return Err(AuthError::MissingOption {
            module: settings.module.clone(),
            option: "secret",
            hint: proposal(settings, context),
        });
    };
    let compact = text.replace([' ', '-'], "").to_ascii_uppercase();
    let secret = totp_rs::Secret::try_from_base32(compact.trim_end_matches('=')).ok();
    let secret = secret.filter(|secret| SECRET.contains(&secret.as_bytes().len()));
    let secret =
        secret.ok_or_else(|| settings.bad("secret", "..", "write 16 or more characters of base32"))?;
    Ok(Arc::new(Otp {
        codes: Builder::new()
            .with_secret(secret)
            .with_step_duration(STEP)
            .build_noncompliant(),
        window: settings.number("valid-window", 0, 0, 20)?.into(),
        used: Mutex::default(),
    }))
}

/// A secret nobody has used yet, and how to give it to an authenticator.
fn proposal(settings: &Settings, context: &Context) -> String {
    let mut random = [0; 20];
    if getrandom::fill(&mut random).is_err() {
        return "some 32 random characters of base32".to_owned();
    }
    let secret = totp_rs::Secret::from(random).to_base32();
    let issuer = settings.get("issuer-name").unwrap_or("Xpra");
    let user = &context.username;
    format!(
        "for example otp:secret={secret}, which an authenticator takes as \
         otpauth://totp/{issuer}:{user}?secret={secret}&issuer={issuer}"
    )
}

impl Module for Otp {
    fn demand(&self) -> Demand {
        Demand::Proof
    }

    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        decided(self.check(&case.proof, now()).map(|()| None))
    }
}

impl Otp {
    /// `now` in seconds since 1970.
    fn check(&self, proof: &Proof, now: u64) -> Result<(), Denial> {
        let step = now / STEP;
        let mut found = None;
        // all of them, so that it takes as long whichever it is
        for step in step.saturating_sub(self.window)..=step.saturating_add(self.window) {
            let code = self.codes.generate(step.saturating_mul(STEP)).to_string();
            if proof.proves(&Secret::new(code)) {
                found = Some(step);
            }
        }
        let Some(found) = found else {
            return Err(Denial::new("wrong code"));
        };
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if found <= *used {
            return Err(Denial::new("the code, or one after it, was used already"));
        }
        *used = found;
        Ok(())
    }
}

impl fmt::Debug for Otp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otp")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::disallowed_methods, reason = "codes go by the time of day")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::*;
    use super::*;

    /// The secret of RFC 6238: "12345678901234567890".
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn otp(options: &str) -> Otp {
        let settings: Settings = format!("otp:secret={SECRET}{options}").parse().unwrap();
        Otp {
            codes: Builder::new()
                .with_secret(totp_rs::Secret::try_from_base32(SECRET).unwrap())
                .build_noncompliant(),
            window: settings.number("valid-window", 0, 0, 20).unwrap().into(),
            used: Mutex::default(),
        }
    }

    fn code(text: &str) -> Proof {
        Proof::Password(Secret::new(text))
    }

    /// Appendix B: the last six of eight digits.
    #[test]
    fn codes_of_the_rfc() {
        for (time, digits) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(otp("").check(&code(digits), time), Ok(()), "{time}");
            assert!(otp("").check(&code(digits), time + 30).is_err());
            assert!(otp("").check(&code(&digits[1..]), time).is_err());
        }
    }

    #[test]
    fn neighbours_are_good_within_the_window() {
        let digits = "005924";
        for (off, window, is_good) in [(1, 0, false), (1, 1, true), (2, 1, false), (2, 2, true)] {
            for time in [1_234_567_890 - 30 * off, 1_234_567_890 + 30 * off] {
                let otp = otp(&format!(",valid-window={window}"));
                assert_eq!(otp.check(&code(digits), time).is_ok(), is_good);
            }
        }
    }

    #[test]
    fn codes_are_good_once() {
        let otp = otp(",valid-window=1");
        assert_eq!(otp.check(&code("050471"), 1_111_111_111), Ok(()));
        assert!(otp.check(&code("050471"), 1_111_111_112).is_err());
        // the one before it may have been seen by somebody
        assert!(otp.check(&code("081804"), 1_111_111_112).is_err());
    }

    #[tokio::test]
    async fn a_whole_login() {
        let now_shown = otp("").codes.generate(now()).to_string();
        let chain = chain(&[&format!("otp:secret={SECRET},valid-window=1")]);
        assert!(passes(&chain, remote("fred"), &[&now_shown]).await);
        assert!(!passes(&chain, remote("fred"), &[&now_shown]).await);
    }

    #[test]
    fn a_secret_is_needed_and_proposed() {
        let text = error("otp:issuer-name=Me");
        assert!(text.contains("otpauth://totp/Me:fred?secret="), "{text}");
        for bad in ["abc", "ABCD", "1111111111111111111111"] {
            assert!(error(&format!("otp:secret={bad}")).contains("base32"));
        }
    }
}
