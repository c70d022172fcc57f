//! [`Reconnect`]: whether a client whose connection was lost attaches again.

use super::exit::{ExitCode, Failure};
use std::time::{Duration, Instant};

/// Whether to attach again, and when.
#[derive(Debug, Default)]
pub(super) struct Reconnect {
    /// The connection that was lost, and since when it has not come back.
    lost: Option<(Failure, Instant)>,
    pause: Duration,
}

impl Reconnect {
    /// How long a session that was lost may be out of reach.
    const PATIENCE: Duration = Duration::from_secs(60);
    const MAX_PAUSE: Duration = Duration::from_secs(4);
    const FIRST_PAUSE: Duration = Duration::from_millis(250);

    /// After what `failure` ended, a session that was `lost` then or none: how long to wait, or the failure to end
    /// with.
    pub(super) fn after(
        &mut self,
        failure: Failure,
        lost: Option<Instant>,
        now: Instant,
    ) -> Result<Duration, Failure> {
        if let Some(lost) = lost {
            // what a new connection may mend (`endpoints.md` j.3)
            let mends = [
                ExitCode::ConnectionLost,
                ExitCode::Timeout,
                ExitCode::PacketFailure,
                ExitCode::Upgrade,
            ];
            if !mends.contains(&failure.code) {
                return Err(failure);
            }
            eprintln!("{failure}: attaching again");
            *self = Self {
                lost: Some((failure, lost)),
                pause: Self::FIRST_PAUSE,
            };
            return Ok(Duration::ZERO);
        }
        let Some((lost, since)) = &self.lost else {
            return Err(failure);
        };
        // the user has had enough of looking
        if matches!(failure.code, ExitCode::Interrupted | ExitCode::Terminated) {
            return Err(failure);
        }
        let beyond = [
            ExitCode::AuthenticationFailed,
            ExitCode::PasswordRequired,
            ExitCode::NoDisplay,
            ExitCode::SslCertificateVerifyFailure,
            ExitCode::SshKeyFailure,
        ];
        if beyond.contains(&failure.code) || now.saturating_duration_since(*since) >= Self::PATIENCE {
            let message = format!("{lost}, and not found again: {failure}");
            return Err(Failure::new(lost.code, message));
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(Self::MAX_PAUSE);
        Ok(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failure(code: ExitCode) -> Failure {
        Failure::new(code, format!("{code:?}"))
    }

    #[test]
    fn what_was_lost_is_looked_for() {
        let now = Instant::now();
        let mut reconnect = Reconnect::default();
        let lost = failure(ExitCode::ConnectionLost);
        assert_eq!(reconnect.after(lost, Some(now), now), Ok(Duration::ZERO));
        let mut at = now;
        let mut pauses = Vec::new();
        let ended = loop {
            match reconnect.after(failure(ExitCode::ConnectionFailed), None, at) {
                Ok(pause) => pauses.push(pause),
                Err(failure) => break failure,
            }
            at += pauses[pauses.len() - 1];
        };
        assert_eq!(pauses[0], Reconnect::FIRST_PAUSE);
        assert!(pauses.iter().all(|pause| *pause <= Reconnect::MAX_PAUSE));
        assert!(at >= now + Reconnect::PATIENCE);
        // what scripts are told is how it began
        assert_eq!(ended.code, ExitCode::ConnectionLost);
        assert_eq!(
            ended.message,
            "ConnectionLost, and not found again: ConnectionFailed"
        );
        // found, and lost once more: from the beginning
        assert_eq!(
            reconnect.after(failure(ExitCode::Timeout), Some(at), at),
            Ok(Duration::ZERO)
        );
        let pause = reconnect.after(failure(ExitCode::ConnectionFailed), None, at + SECOND);
        assert_eq!(pause, Ok(Reconnect::FIRST_PAUSE));
    }

    #[test]
    fn what_a_new_connection_does_not_mend_ends_it() {
        let now = Instant::now();
        let mut reconnect = Reconnect::default();
        let never_there = failure(ExitCode::ConnectionFailed);
        assert_eq!(reconnect.after(never_there.clone(), None, now), Err(never_there));
        let display = failure(ExitCode::NoDisplay);
        assert_eq!(reconnect.after(display.clone(), Some(now), now), Err(display));
        assert!(
            reconnect
                .after(failure(ExitCode::ConnectionLost), Some(now), now)
                .is_ok()
        );
        let password = reconnect.after(failure(ExitCode::AuthenticationFailed), None, now);
        assert_eq!(
            password.map_err(|failure| failure.code),
            Err(ExitCode::ConnectionLost)
        );
        let interrupted = failure(ExitCode::Interrupted);
        let left = reconnect.after(interrupted.clone(), None, now);
        assert_eq!(left, Err(interrupted));
    }
}
