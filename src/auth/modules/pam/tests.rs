//! The real PAM of this machine, with services and users that are gone again after the test: for root only.

use super::super::super::tests::*;
use super::*;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A service and a user of this machine that are gone again after the test.
struct Machine {
    name: String,
    file: PathBuf,
}

impl Machine {
    /// `None` when that is not possible here.
    fn new(purpose: &str, rules: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can add a PAM service");
            return None;
        }
        let name = format!("xrs{purpose}{}", std::process::id());
        let file = PathBuf::from("/etc/pam.d").join(&name);
        std::fs::write(&file, rules).unwrap();
        let machine = Self { name, file };
        assert!(run("useradd", &["--no-create-home", &machine.name], ""));
        assert!(run("chpasswd", &[], &format!("{}:p w\n", machine.name)));
        Some(machine)
    }

    fn chain(&self, options: &str) -> Arc<super::super::super::Chain> {
        let root = Context {
            username: "root".to_owned(),
            ..Context::default()
        };
        chain_in(&root, &[&format!("pam:service={}{options}", self.name)])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        run("userdel", &[&self.name], "");
        std::fs::remove_file(&self.file).unwrap();
    }
}

fn run(program: &str, arguments: &[&str], input: &str) -> bool {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait().unwrap().success()
}

const UNIX: &str = "auth required pam_unix.so nodelay\naccount required pam_unix.so\n";

#[tokio::test]
async fn passwords_of_the_machine() {
    let Some(machine) = Machine::new("u", UNIX) else {
        return;
    };
    let user = machine.name.as_str();
    for options in ["", ",check-account=yes"] {
        let chain = machine.chain(options);
        let (grant, challenges) = log_in(&chain, private(user), &offered(), &["p w"]).await;
        assert_eq!(challenges[0].digest.to_string(), "xor");
        let grant = grant.unwrap();
        assert_eq!(grant.username.as_deref(), Some(user));
        assert!(grant.account.unwrap().uid.parse::<u32>().unwrap() > 0);
        for (user, password) in [
            (user, "wrong"),
            (user, "p w\0"),
            ("nobody-of-that-name", "p w"),
            ("root", "p w"),
        ] {
            assert!(
                !passes(&chain, private(user), &[password]).await,
                "{user} {password}"
            );
        }
        assert!(!passes(&chain, private(user), &[&"x".repeat(2000)]).await);
    }
    assert!(run("usermod", &["--expiredate", "2001-01-01", user], ""));
    assert!(passes(&machine.chain(""), private(user), &["p w"]).await);
    assert!(!passes(&machine.chain(",check-account=yes"), private(user), &["p w"]).await);
}

#[tokio::test]
async fn the_service_decides() {
    let deny = "auth required pam_deny.so\naccount required pam_deny.so\n";
    let permit = "auth required pam_permit.so\naccount required pam_permit.so\n";
    for (purpose, rules, expected) in [("d", deny, false), ("p", permit, true)] {
        let Some(machine) = Machine::new(purpose, rules) else {
            return;
        };
        let chain = machine.chain("");
        assert_eq!(passes(&chain, private(&machine.name), &["any"]).await, expected);
        // whatever the service says, there has to be such a user
        assert!(!passes(&chain, private("nobody-of-that-name"), &["any"]).await);
        let (refused, challenges) = log_in(&chain, remote(&machine.name), &offered(), &["any"]).await;
        assert!(refused.is_err() && challenges.is_empty(), "told to who listens");
    }
}

#[test]
fn odd_services() {
    for bad in ["../shadow", "a b", "", ".hidden"] {
        assert!(error(&format!("pam:service={bad}")).contains("/etc/pam.d"));
    }
}

/// What a broken module might call back with.
#[test]
fn conversations_are_bounded() {
    let login = Login {
        service: c"x".into(),
        user: c"fred".into(),
        password: Zeroizing::new(b"pw\0".to_vec()),
        host: c"".into(),
        checks_account: false,
    };
    let data: *mut c_void = std::ptr::from_ref(&login).cast_mut().cast();
    let styles = [PAM_PROMPT_ECHO_OFF, PAM_TEXT_INFO, PAM_PROMPT_ECHO_ON, 77];
    let messages = styles.map(|style| Message { style, text: null() });
    let pointers = messages.each_ref().map(std::ptr::from_ref);
    let mut answers = null_mut();
    // SAFETY: the arrays have the lengths told, and all outlive the calls; the answers are freed once.
    unsafe {
        for count in [-1, 0, 33, c_int::MAX] {
            assert_eq!(
                converse(count, pointers.as_ptr(), &raw mut answers, data),
                PAM_CONV_ERR
            );
        }
        assert_eq!(converse(1, null(), &raw mut answers, data), PAM_CONV_ERR);
        assert_eq!(
            converse(4, pointers.as_ptr(), &raw mut answers, data),
            PAM_CONV_ERR
        );
        assert!(answers.is_null());
        assert_eq!(
            converse(3, pointers.as_ptr(), &raw mut answers, data),
            PAM_SUCCESS
        );
        assert_eq!(CStr::from_ptr((*answers).text), c"pw");
        assert!((*answers.add(1)).text.is_null());
        assert_eq!(CStr::from_ptr((*answers.add(2)).text), c"fred");
        discard(answers, 3);
    }
}
