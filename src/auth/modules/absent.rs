//! Modules that this build does not have: naming one is an error that says how to get it.
#![cfg_attr(
    any(feature = "ldap", feature = "sql"),
    expect(dead_code, reason = "one of them is there")
)]

use std::sync::Arc;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::Module;
use super::super::settings::Settings;

#[cfg(windows)]
pub(crate) fn pam(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    Err(settings.unavailable("Windows has none: use another module, such as file or exec"))
}

pub(crate) fn ldap(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    Err(missing(settings, "ldap"))
}

pub(crate) fn sql(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    Err(missing(settings, "sql"))
}

fn missing(settings: &Settings, feature: &'static str) -> AuthError {
    AuthError::FeatureMissing {
        module: settings.module.clone(),
        feature,
    }
}

#[cfg(all(test, not(any(feature = "ldap", feature = "sql"))))]
mod tests {
    use super::super::super::tests::error;

    #[test]
    fn what_is_missing_says_how_to_get_it() {
        for (module, feature) in [
            ("ldap", "ldap"),
            ("sqlite", "sql"),
            ("sql:uri=x", "sql"),
            ("mysql", "sql"),
        ] {
            assert!(
                error(module).contains(&format!("--features {feature}")),
                "{module}"
            );
        }
    }
}
