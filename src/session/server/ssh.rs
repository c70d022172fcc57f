//! The passwords of SSH are those of the socket's modules.

use crate::address::{Secret, TransportKind};
use crate::auth::{Chain, Peer, check_password};
use crate::transport::LinkInfo;
use crate::transport::ssh::PasswordCheck;
use std::pin::Pin;
use std::sync::Arc;

/// Checks passwords with the modules of a chain.
#[derive(Debug)]
pub struct SshPasswords(Arc<Chain>);

impl SshPasswords {
    /// The check of these modules.
    pub fn of(chain: Arc<Chain>) -> Arc<dyn PasswordCheck> {
        Arc::new(Self(chain))
    }
}

impl PasswordCheck for SshPasswords {
    fn check<'a>(
        &'a self,
        user: &'a str,
        password: Secret,
        peer: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let info = LinkInfo {
            username: Some(user.to_owned()),
            is_private: true,
            ..LinkInfo::new(TransportKind::Ssh, peer)
        };
        let peer = Peer::new(info).named(user);
        Box::pin(async { check_password(&self.0, peer, password).await.is_ok() })
    }
}
