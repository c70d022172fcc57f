//! [`Fault`]: what goes wrong in a play, and right again.

use crate::link::Nanos;

/// Something that happens at once. What lasts is followed by its opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// Another address for the client: nothing of its connections passes any more, and it is told.
    Address,
    /// The clock that the client's pings tell is set, to so many milliseconds.
    Clock(i64),
    /// The client's process is killed, or its machine loses its power, and another one attaches.
    ClientDies { silently: bool },
    /// The client reads nothing, or reads again.
    Deaf(bool),
    /// What is sent either way takes so long.
    Delay(Nanos),
    /// The client's process stops, or goes on.
    Hang(bool),
    /// So many packets of a million get lost, either way.
    Loss(u32),
    /// What is sent that way is lost until then.
    Partition { way: usize, until: Nanos },
    /// Somebody on the way resets the connection.
    Reset,
    /// The server's process is killed, or its machine loses its power.
    ServerDies { silently: bool },
    /// It is there again, with the same screen.
    ServerStarts,
}
