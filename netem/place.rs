//! [`Place`]: a network namespace of our own, without a name: it is gone with the last process in it, whatever ends us.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What a device is called in its place.
const DEVICE: &str = "link0";

/// A network namespace with one TUN device in it, and the other end of that device.
#[derive(Debug)]
pub(crate) struct Place {
    namespace: File,
    device: OwnedFd,
    address: Ipv4Addr,
    congestion_control: Option<String>,
}

impl Place {
    /// A new namespace that has that address on a network of 256.
    pub(crate) fn new(address: Ipv4Addr) -> Result<Self> {
        let made = thread::spawn(|| -> Result<(File, OwnedFd)> {
            // the thread's own: the rest of the process stays where it is
            unshare()?;
            let namespace = File::open("/proc/thread-self/ns/net")?;
            Ok((namespace, tun().context("making a TUN device")?))
        });
        let (namespace, device) = made.join().map_err(|_| anyhow!("the thread panicked"))??;
        let place = Self {
            namespace,
            device,
            address,
            congestion_control: None,
        };
        place.run("ip link set lo up")?;
        place.run(&format!("ip addr add {address}/24 dev {DEVICE}"))?;
        place.run(&format!("ip link set {DEVICE} txqueuelen 10000 up"))?;
        Ok(place)
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

    /// The far end of its device: packets are read and written here.
    pub(crate) const fn device(&self) -> &OwnedFd {
        &self.device
    }

    /// Congestion control of connections to and from here from now on. By the route: the namespace's default may be
    /// only what the machine allows everybody.
    pub(crate) fn set_congestion_control(&mut self, name: &str) -> Result<()> {
        self.congestion_control = Some(name.to_owned());
        let known = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control")?;
        let is_known = known.split_whitespace().any(|other| other == name);
        ensure!(
            is_known,
            "the kernel has no congestion control {name}, but {}",
            known.trim()
        );
        self.route()
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
            None => Ok(()),
            Some(name) => self.run(&format!(
                "ip route replace {network}/24 dev {DEVICE} proto kernel scope link src {address} congctl {name}"
            )),
        }
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
        let (pid, fd) = (std::process::id(), self.namespace.as_raw_fd());
        inside
            .arg(format!("--net=/proc/{pid}/fd/{fd}"))
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

    fn run(&self, line: &str) -> Result<()> {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        let output = self.enclose(&command).output().context("running nsenter")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{line}: {}", said.trim());
        Ok(())
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
