//! A private Xvfb for tests.

use rustix::io::{FdFlags, fcntl_setfd};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use x11rb::rust_connection::RustConnection;

/// A running server, stopped on drop.
pub(crate) struct TestServer {
    child: Child,
    /// Its display name.
    pub(crate) display: String,
}

impl TestServer {
    /// Starts a server whose screen is like `1280x720x24`; `None`, with a word why, where there is no Xvfb.
    pub(crate) fn start(screen: &str, options: &[&str]) -> Option<Self> {
        let (mut number, theirs) = std::io::pipe().unwrap();
        fcntl_setfd(&theirs, FdFlags::empty()).unwrap();
        let child = Command::new("Xvfb")
            .args([
                "-displayfd",
                &theirs.as_raw_fd().to_string(),
                "-screen",
                "0",
                screen,
            ])
            .args(["-nolisten", "tcp", "-noreset"])
            .args(options)
            .stderr(Stdio::null())
            .spawn();
        drop(theirs);
        let Ok(child) = child else {
            eprintln!("skipped: no Xvfb");
            return None;
        };
        let mut digits = Vec::new();
        let mut byte = [0];
        while number.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            digits.push(byte[0]);
        }
        Some(Self {
            child,
            display: format!(":{}", String::from_utf8(digits).unwrap()),
        })
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> RustConnection {
        x11rb::connect(Some(&self.display)).unwrap().0
    }

    /// A program that shall run on it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("DISPLAY", &self.display);
        command
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Tries until `attempt` gives something; fails after 10 seconds.
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < end, "{what}: nothing for 10 seconds");
        std::thread::sleep(Duration::from_millis(2));
    }
}
