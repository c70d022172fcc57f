//! `pam` and `sys`: the password of an account of this machine, as its administrator has it checked
//! (`endpoints.md` h.3). libpam is loaded when a server uses it, so that a machine without it can run the program;
//! all calls into it are in this file.
#![expect(
    unsafe_code,
    reason = "libpam is loaded at run time and calls back; getpwnam_r has no safe wrapper"
)]

#[cfg(test)]
mod tests;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::{transmute_copy, zeroed};
use std::ptr::{null, null_mut};
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::super::chain::Context;
use super::super::error::AuthError;
use super::super::module::{Account, Case, Demand, Denial, Judgement, Module};
use super::super::settings::Settings;

/// Logins that are checked at the same time: each takes a thread, for seconds when it fails.
const AT_ONCE: usize = 4;

/// Longest password (`PAM_MAX_RESP_SIZE`).
const MAX_PASSWORD: usize = 512;

#[derive(Debug)]
struct Pam {
    service: CString,
    checks_account: bool,
    turns: Arc<Semaphore>,
}

pub(crate) fn build(settings: &Settings, _: &Context) -> Result<Arc<dyn Module>, AuthError> {
    let service = settings.get("service").unwrap_or("login");
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if service.is_empty() || service.starts_with('.') || !service.chars().all(is_name) {
        return Err(settings.bad("service", service, "write the name of a file in /etc/pam.d"));
    }
    let expected = "write a name";
    let service = CString::new(service).map_err(|_| settings.bad("service", service, expected))?;
    library().map_err(|reason| settings.unavailable(reason))?;
    Ok(Arc::new(Pam {
        service,
        checks_account: settings.flag("check-account")?.unwrap_or(false),
        turns: Arc::new(Semaphore::new(AT_ONCE)),
    }))
}

impl Module for Pam {
    fn demand(&self) -> Demand {
        Demand::Password
    }

    fn judge(self: Arc<Self>, case: Case) -> BoxFuture<'static, Judgement> {
        Box::pin(async move {
            let login = Login::new(&self, &case)?;
            let turn = Arc::clone(&self.turns).acquire_owned().await;
            let checked = spawn_blocking(move || {
                // kept until the thread is done, also when nobody waits for it any more
                let _turn = turn;
                login.check()?;
                account(&login.user)
            });
            let checked = checked.await;
            checked
                .unwrap_or_else(|_| Err(Denial::new("PAM was given up")))
                .map(Some)
        })
    }
}

/// What PAM is asked.
struct Login {
    service: CString,
    user: CString,
    password: Zeroizing<Vec<u8>>,
    host: CString,
    checks_account: bool,
}

impl Login {
    fn new(pam: &Pam, case: &Case) -> Result<Self, Denial> {
        let given = case.proof.password().map(|password| password.expose());
        let given = given.ok_or_else(|| Denial::new("PAM needs the password itself"))?;
        if given.is_empty() || given.len() >= MAX_PASSWORD || given.contains(&0) {
            return Err(Denial::new("a password of impossible length or content"));
        }
        let mut password = Zeroizing::new(Vec::with_capacity(given.len().saturating_add(1)));
        password.extend_from_slice(given);
        password.push(0);
        let peer = case.peer.info.peer.as_str();
        let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
        let text = |text: &str| CString::new(text).map_err(|_| Denial::unknown_user());
        Ok(Self {
            service: pam.service.clone(),
            user: text(&case.username)?,
            password,
            host: text(host.trim_matches(['[', ']']))?,
            checks_account: pam.checks_account,
        })
    }

    /// Goes through PAM. Blocks; a failure takes seconds, on purpose.
    fn check(&self) -> Result<(), Denial> {
        let library = library().map_err(Denial::new)?;
        let conversation = Conversation {
            converse,
            data: std::ptr::from_ref(self).cast_mut().cast(),
        };
        let mut handle = null_mut();
        // SAFETY: the strings end in NUL and, like `conversation` and what its `data` points to (`self`), outlive the
        // handle, which `pam_end` below ends on all paths; `handle` is written on success.
        let status = unsafe {
            (library.start)(
                self.service.as_ptr(),
                self.user.as_ptr(),
                &raw const conversation,
                &raw mut handle,
            )
        };
        if status != PAM_SUCCESS || handle.is_null() {
            return Err(Denial::new(format!("PAM does not start ({status})")));
        }
        // SAFETY: `handle` is what `pam_start` gave, not ended yet; the item is a string that PAM copies.
        unsafe { (library.set_item)(handle, PAM_RHOST, self.host.as_ptr().cast()) };
        // SAFETY: as above; it calls `converse` with `data`.
        let mut status = unsafe { (library.authenticate)(handle, PAM_SILENT) };
        if status == PAM_SUCCESS && self.checks_account {
            // SAFETY: as above.
            status = unsafe { (library.account)(handle, PAM_SILENT) };
        }
        // SAFETY: as above, and the handle is not used after this.
        unsafe { (library.end)(handle, status) };
        match status {
            PAM_SUCCESS => Ok(()),
            status => Err(Denial::new(format!("PAM says no ({status})"))),
        }
    }
}

const PAM_SUCCESS: c_int = 0;
const PAM_CONV_ERR: c_int = 19;
const PAM_RHOST: c_int = 4;
const PAM_SILENT: c_int = 0x8000;
const PAM_PROMPT_ECHO_OFF: c_int = 1;
const PAM_PROMPT_ECHO_ON: c_int = 2;
const PAM_ERROR_MSG: c_int = 3;
const PAM_TEXT_INFO: c_int = 4;

/// Messages in one call (`PAM_MAX_NUM_MSG`).
const MAX_MESSAGES: usize = 32;

/// `pam_handle_t`, of which only PAM knows more.
type Handle = c_void;

/// `struct pam_message`
#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

/// `struct pam_response`
#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = unsafe extern "C" fn(c_int, *const *const Message, *mut *mut Response, *mut c_void) -> c_int;

/// `struct pam_conv`
#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

/// Answers PAM's questions: what is typed hidden is the password, what is seen is the user.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *const *const Message,
    answers: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let count = usize::try_from(count).unwrap_or_default();
    if !(1..=MAX_MESSAGES).contains(&count) || messages.is_null() || answers.is_null() || data.is_null() {
        return PAM_CONV_ERR;
    }
    // SAFETY: PAM gives back the `data` of `pam_start`, which is a `Login` that outlives the handle and is not changed.
    let login = unsafe { &*data.cast_const().cast::<Login>() };
    // SAFETY: calloc may be called with anything. PAM frees the array, as the contract is.
    let array = unsafe { libc::calloc(count, size_of::<Response>()) }.cast::<Response>();
    if array.is_null() {
        return PAM_CONV_ERR;
    }
    for at in 0..count {
        // SAFETY: on Linux `messages` is an array of `count` pointers to messages, and `at` is below `count`.
        let message = unsafe { (*messages.add(at)).as_ref() };
        let text = match message.map_or(0, |message| message.style) {
            PAM_PROMPT_ECHO_OFF => login.password.as_ptr().cast(),
            PAM_PROMPT_ECHO_ON => login.user.as_ptr(),
            PAM_TEXT_INFO | PAM_ERROR_MSG => continue,
            _ => {
                // SAFETY: `array` is ours, with `count` entries of which all are empty or made by strdup.
                unsafe { discard(array, count) };
                return PAM_CONV_ERR;
            }
        };
        // SAFETY: `text` ends in NUL (`Login::new`); `array` has `count` entries, `at` is below. PAM frees the copy.
        unsafe { (*array.add(at)).text = libc::strdup(text) };
    }
    // SAFETY: `answers` is PAM's pointer to write the array to; it was checked.
    unsafe { *answers = array };
    PAM_SUCCESS
}

/// Frees an array of answers and wipes them.
///
/// # Safety
///
/// `array` is of calloc, with `count` entries whose texts are null or of strdup. It must not be used again.
unsafe fn discard(array: *mut Response, count: usize) {
    for at in 0..count {
        // SAFETY: `at` is below `count`; a text is null or ends in NUL and was not freed.
        unsafe {
            let text = (*array.add(at)).text;
            if !text.is_null() {
                libc::explicit_bzero(text.cast(), libc::strlen(text));
                libc::free(text.cast());
            }
        }
    }
    // SAFETY: it came from calloc and is freed once.
    unsafe { libc::free(array.cast()) };
}

/// The functions of libpam.
struct Library {
    start: unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut *mut Handle) -> c_int,
    set_item: unsafe extern "C" fn(*mut Handle, c_int, *const c_void) -> c_int,
    authenticate: unsafe extern "C" fn(*mut Handle, c_int) -> c_int,
    account: unsafe extern "C" fn(*mut Handle, c_int) -> c_int,
    end: unsafe extern "C" fn(*mut Handle, c_int) -> c_int,
}

/// libpam, loaded at the first call and never unloaded.
fn library() -> Result<&'static Library, String> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(Library::load).as_ref().map_err(Clone::clone)
}

impl Library {
    fn load() -> Result<Self, String> {
        let missing = || "libpam.so.0 is missing: install the PAM library (libpam0g)".to_owned();
        // SAFETY: the name ends in NUL. libpam's initialisers do nothing that could harm a program with threads.
        let library = unsafe { libc::dlopen(c"libpam.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if library.is_null() {
            return Err(missing());
        }
        let symbol = |name: &CStr| {
            // SAFETY: `library` is an open handle which is never closed; the name ends in NUL.
            let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
            if symbol.is_null() {
                Err(missing())
            } else {
                Ok(symbol)
            }
        };
        let (start, set_item) = (symbol(c"pam_start")?, symbol(c"pam_set_item")?);
        let (authenticate, account) = (symbol(c"pam_authenticate")?, symbol(c"pam_acct_mgmt")?);
        let end = symbol(c"pam_end")?;
        // SAFETY: these are the functions of those names, whose types are those of security/pam_appl.h; a pointer to
        // a function has the size of a pointer, and none is null.
        unsafe {
            Ok(Self {
                start: transmute_copy(&start),
                set_item: transmute_copy(&set_item),
                authenticate: transmute_copy(&authenticate),
                account: transmute_copy(&account),
                end: transmute_copy(&end),
            })
        }
    }
}

/// Who the user is on this machine: without an entry nobody is let in.
fn account(user: &CStr) -> Result<Account, Denial> {
    let mut buffer = vec![0; 1 << 16];
    // SAFETY: `passwd` is a plain structure of numbers and pointers, for which zeros are values.
    let mut entry: libc::passwd = unsafe { zeroed() };
    let mut found = null_mut();
    // SAFETY: the name ends in NUL, the buffer has the length given, and all outlive the call.
    let status = unsafe {
        libc::getpwnam_r(
            user.as_ptr(),
            &raw mut entry,
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        )
    };
    if status != 0 || std::ptr::eq(found, null()) {
        return Err(Denial::new("not a user of this machine"));
    }
    Ok(Account {
        uid: entry.pw_uid.to_string(),
        gid: entry.pw_gid.to_string(),
        ..Account::default()
    })
}
