//! [`Place`]: a network namespace of our own, without a name: it is gone with the last process in it, whatever ends us.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What a device is called in its place.
pub(crate) const DEVICE: &str = "link0";

/// What a namespace has at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Bare,
    /// A TUN device.
    Tun,
}

/// A network namespace with one device in it.
#[derive(Debug)]
pub(crate) struct Place {
    namespace: File,
    device: Option<OwnedFd>,
    address: Ipv4Addr,
    congestion_control: Option<String>,
}

impl Place {
    /// A new namespace that will have that address, on a network of 256, once it [is up](Self::set_up).
    pub(crate) fn new(address: Ipv4Addr, kind: Kind) -> Result<Self> {
        let made = thread::spawn(move || -> Result<(File, Option<OwnedFd>)> {
            // the thread's own: the rest of the process stays where it is
            unshare()?;
            let namespace = File::open("/proc/thread-self/ns/net")?;
            let device = match kind {
                Kind::Bare => None,
                Kind::Tun => Some(tun().context("making a TUN device")?),
            };
            Ok((namespace, device))
        });
        let (namespace, device) = made.join().map_err(|_| anyhow!("the thread panicked"))??;
        let place = Self {
            namespace,
            device,
            address,
            congestion_control: None,
        };
        place.run("ip link set lo up")?;
        Ok(place)
    }

    /// Gives its device the address.
    pub(crate) fn set_up(&self) -> Result<()> {
        self.run(&format!("ip addr add {}/24 dev {DEVICE}", self.address))?;
        self.run(&format!("ip link set {DEVICE} txqueuelen 10000 up"))?;
        self.route()
    }

    /// Its address.
    pub(crate) const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Gives it another address; connections from the old one are dead.
    pub(crate) fn move_to(&mut self, address: Ipv4Addr) -> Result<()> {
        self.run(&format!("ip addr del {}/24 dev {DEVICE}", self.address))?;
        self.run(&format!("ip addr add {address}/24 dev {DEVICE}"))?;
        self.address = address;
        self.route()
    }

    /// The far end of its TUN device: packets are read and written here.
    pub(crate) fn device(&self) -> Result<BorrowedFd<'_>> {
        Ok(self.device.as_ref().context("it has no TUN device")?.as_fd())
    }

    /// What opens the namespace, for programs of this process.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Congestion control of connections to and from here, set before it is up. By the route: the namespace's default may be
    /// only what the machine allows everybody.
    pub(crate) fn set_congestion_control(&mut self, name: &str) -> Result<()> {
        let known = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")?;
        let is_known = known.split_whitespace().any(|other| other == name);
        ensure!(
            is_known,
            "the kernel has no congestion control {name}, but {}",
            known.trim()
        );
        self.congestion_control = Some(name.to_owned());
        Ok(())
    }

    fn route(&self) -> Result<()> {
        let Self {
            address,
            congestion_control,
            ..
        } = self;
        let [a, b, c, _] = address.octets();
        let network = Ipv4Addr::new(a, b, c, 0);
        match congestion_control {
            None => {}
            Some(name) => {
                let route = format!("{network}/24 dev {DEVICE} proto kernel scope link src {address}");
                self.run(&format!("ip route replace {route} congctl {name}"))?;
            }
        }
        Ok(())
    }

    /// Does something in a thread that is in this place.
    pub(crate) fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let namespace = self.namespace.try_clone()?;
        let thread = thread::spawn(move || -> Result<T> {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        });
        thread.join().map_err(|_| anyhow!("the thread panicked"))?
    }

    /// The same command, to be run in this place.
    pub(crate) fn enclose(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .arg(format!("--net={}", self.path()))
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(std::process::Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Runs a command here, whose words have spaces between them; what it printed.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        let output = self.enclose(&command).output().context("running nsenter")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {}", said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

#[expect(unsafe_code, reason = "unshare(2) may close descriptors with other flags")]
fn unshare() -> Result<()> {
    // SAFETY: only CLONE_FILES is what may invalidate descriptors, and it is not among the flags.
    let made = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
    made.context("making a network namespace needs root (CAP_SYS_ADMIN)")
}

/// A TUN device in the namespace of this thread.
#[expect(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]
fn tun() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty()).context("opening /dev/net/tun")?;
    // struct ifreq: 16 bytes of name, then flags: IFF_TUN | IFF_NO_PI
    let mut request = [0u8; 40];
    request[..DEVICE.len()].copy_from_slice(DEVICE.as_bytes());
    request[16..18].copy_from_slice(&0x1001u16.to_ne_bytes());
    // SAFETY: TUNSETIFF reads and writes one struct ifreq, 40 bytes, which `request` has and which nobody else uses.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) };
    ensure!(result == 0, "TUNSETIFF: {}", std::io::Error::last_os_error());
    Ok(fd)
}
