//! Who may open a pipe, and who made one.
#![expect(unsafe_code, reason = "access lists are pointers to the system's memory")]

use std::ffi::c_void;
use std::io;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{CloseHandle, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{
    GetTokenInformation, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
    TOKEN_QUERY, TOKEN_USER, TokenUser,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// Who owns what administrators make.
const ADMINISTRATORS: &str = "S-1-5-32-544";
const SYSTEM: &str = "S-1-5-18";

/// An access list.
#[derive(Debug)]
pub(super) struct Access(Allocated);

// SAFETY: the descriptor belongs to the process, not to a thread, and is never changed once it is made.
unsafe impl Send for Access {}
// SAFETY: the same.
unsafe impl Sync for Access {}

impl Access {
    /// Everything for the user this process runs as, and nothing for anybody else; with `remote`, reading and writing
    /// for everybody who has logged in.
    pub(super) fn new(remote: bool) -> io::Result<Self> {
        let others = if remote { "(A;;GRGW;;;AU)" } else { "" };
        let user = own_user()?;
        let text = format!("O:{user}D:P(A;;GA;;;{user}){others}");
        let wide: Vec<u16> = text.encode_utf16().chain([0]).collect();
        let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
        // SAFETY: `wide` ends with a zero and outlives the call, which stores a pointer to memory that is to be freed
        // with `LocalFree`, and may be told no length to.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                wide.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        };
        checked(made)?;
        Ok(Self(Allocated(descriptor)))
    }

    /// The same as calls want it. It points into `self`.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or_default(),
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: 0,
        }
    }
}

/// Whether a pipe was made by somebody else, who is not the machine's administrator either.
pub(super) fn is_strangers(pipe: HANDLE) -> bool {
    let trusted =
        |owner: &str| matches!(owner, ADMINISTRATORS | SYSTEM) || own_user().is_ok_and(|user| user == owner);
    let owner = owner(pipe);
    tracing::debug!(?owner, "the pipe's owner");
    owner.is_ok_and(|owner| !trusted(&owner))
}

/// Who owns a pipe.
fn owner(pipe: HANDLE) -> io::Result<String> {
    let (mut owner, mut descriptor): (PSID, PSECURITY_DESCRIPTOR) = (null_mut(), null_mut());
    // SAFETY: the caller's handle is open; both pointers are stored to variables alive for the call, the first into
    // the memory of the second, which is to be freed with `LocalFree`.
    let status = unsafe {
        GetSecurityInfo(
            pipe,
            SE_KERNEL_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            null_mut(),
            null_mut(),
            &raw mut descriptor,
        )
    };
    let _descriptor = Allocated(descriptor);
    if status != 0 {
        return Err(io::Error::from_raw_os_error(status.cast_signed()));
    }
    // SAFETY: the call succeeded, so `owner` is an id within `_descriptor`, which is freed later.
    unsafe { text_of(owner) }
}

/// The id of the user this process runs as.
fn own_user() -> io::Result<String> {
    let mut token: HANDLE = null_mut();
    // SAFETY: the handle of this process needs no closing; the token's is stored to a variable alive for the call.
    checked(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    // Eight bytes each, so that the structure at its beginning is aligned; an id has 68 bytes at most.
    let mut space = [0u64; 32];
    let mut used = 0;
    let size = u32::try_from(size_of_val(&space)).unwrap_or_default();
    // SAFETY: the token is open; at most `size` bytes are written to `space`, which has as many.
    let told =
        unsafe { GetTokenInformation(token, TokenUser, space.as_mut_ptr().cast(), size, &raw mut used) };
    let told = checked(told);
    // SAFETY: it was opened above and is not used afterwards.
    unsafe { CloseHandle(token) };
    told?;
    // SAFETY: the call succeeded, so `space` begins with this structure, aligned, whose id lies in `space` too.
    unsafe { text_of((*space.as_ptr().cast::<TOKEN_USER>()).User.Sid) }
}

/// The text of an id.
///
/// # Safety
///
/// It must be a valid one.
unsafe fn text_of(id: PSID) -> io::Result<String> {
    let mut text: *mut u16 = null_mut();
    // SAFETY: by this function's contract; the pointer is stored to a variable alive for the call.
    checked(unsafe { ConvertSidToStringSidW(id, &raw mut text) })?;
    // SAFETY: the call succeeded.
    Ok(unsafe { taken(text) })
}

/// The text the system allocated, which is freed.
///
/// # Safety
///
/// It must have been stored by a call that succeeded, end with a zero, and be for the caller to free with `LocalFree`.
unsafe fn taken(text: *mut u16) -> String {
    let _text = Allocated(text.cast());
    // SAFETY: by this function's contract there is a string, and no unit up to its end is beyond it.
    let units = (0..).map(|index| unsafe { *text.add(index) });
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

fn checked(result: i32) -> io::Result<()> {
    match result {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Memory the system allocated.
#[derive(Debug)]
struct Allocated(*mut c_void);

impl Drop for Allocated {
    fn drop(&mut self) {
        if self.0.cast_const() != null() {
            // SAFETY: every value is made of a pointer the system said to free so, once, and is never copied.
            unsafe { LocalFree(self.0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::windows::io::AsRawHandle;

    use windows_sys::Win32::Security::Authorization::ConvertSecurityDescriptorToStringSecurityDescriptorW;
    use windows_sys::Win32::Security::DACL_SECURITY_INFORMATION;

    use super::*;
    use crate::transport::pipe::{create, path};

    /// The owner and the access list of a pipe, as the system has them.
    fn kept(pipe: HANDLE) -> String {
        let wanted = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
        let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
        // SAFETY: the caller's handle is open; the pointer is stored to a variable alive for the call.
        let status = unsafe {
            GetSecurityInfo(
                pipe,
                SE_KERNEL_OBJECT,
                wanted,
                null_mut(),
                null_mut(),
                null_mut(),
                null_mut(),
                &raw mut descriptor,
            )
        };
        let descriptor = Allocated(descriptor);
        assert_eq!(status, 0);
        let mut text: *mut u16 = null_mut();
        // SAFETY: the call above succeeded, so this is a descriptor, freed later; the pointer is stored to a variable
        // alive for the call.
        let told = unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                descriptor.0,
                SDDL_REVISION_1,
                wanted,
                &raw mut text,
                null_mut(),
            )
        };
        checked(told).unwrap();
        // SAFETY: the call succeeded.
        let text = unsafe { taken(text) };
        // Windows says what "all", and "read and write", are for a pipe; Wine keeps the words.
        text.replace(";FA;", ";GA;").replace(";0x12019f;", ";GWGR;")
    }

    /// Wine lets one user in, and everybody whatever the list says: what can be seen is that the system has the list.
    #[tokio::test]
    async fn the_pipe_has_the_access_list() {
        let user = own_user().unwrap();
        let own = format!("O:{user}D:P(A;;GA;;;{user})");
        for (remote, expected) in [(false, own.clone()), (true, format!("{own}(A;;GWGR;;;AU)"))] {
            let path = path(&format!("access-{remote}-{}", std::process::id()));
            let access = Access::new(remote).unwrap();
            let first = create(&path, &access, remote, true).unwrap();
            assert_eq!(kept(first.as_raw_handle()), expected);
            let next = create(&path, &access, remote, false).unwrap();
            assert_eq!(kept(next.as_raw_handle()), expected);
            assert!(!is_strangers(next.as_raw_handle()));
        }
    }
}
