//! What looking at a peer's first bytes costs: connections to a port for several protocols, beside those to one for
//! xpra's alone.

use std::io;

use criterion::Criterion;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use xpra::address::{Address, TransportKind};
use xpra::transport::{ConnectOptions, Spoken, connect};

use crate::ways::ours::listening;

use crate::runtime;
use crate::table::{median, timed};

/// As long as the hello of a request that only wants to know whether somebody is there, in a record.
const FIRST_RECORD: [u8; 208] = {
    let mut record = [0; 208];
    record[0] = b'P';
    record[1] = 0x10;
    record[7] = 200;
    record
};

pub(crate) fn detect(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("transport/detect");
    for (name, detects) in [("limit-plain", false), ("detecting", true)] {
        let address = runtime.block_on(echoing(detects));
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(first_exchange(&address)))
        });
    }
    group.finish();
}

/// Prints what a look at the first bytes adds to the first exchange.
pub(crate) fn added() {
    let runtime = runtime();
    let addresses = [false, true].map(|detects| runtime.block_on(echoing(detects)));
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..1500 {
        for (address, times) in addresses.iter().zip(&mut times) {
            times.push(timed(|| runtime.block_on(first_exchange(address))));
        }
    }
    let [plain, detecting] = times.map(median);
    println!(
        "\nFirst exchange: plain {plain:.1?}, detecting {detecting:.1?}: {:.1} µs added",
        (detecting.as_secs_f64() - plain.as_secs_f64()) * 1e6
    );
}

/// A port that echoes, after a look at what is spoken if it `detects`.
async fn echoing(detects: bool) -> Address {
    let (listener, address) = listening(TransportKind::Tcp, "127.0.0.1:0").await;
    tokio::spawn(async move {
        loop {
            let mut link = listener.accept().await.unwrap();
            tokio::spawn(async move {
                if detects {
                    assert_eq!(Spoken::of(&mut link).await?, Spoken::Xpra);
                }
                echo(link.stream).await
            });
        }
    });
    address
}

/// Sends back what comes, until the end.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(&buffer[..length]).await?;
        stream.flush().await?;
    }
}

/// From nothing to the answer to the first record.
async fn first_exchange(address: &Address) {
    let mut link = connect(address, &ConnectOptions::default()).await.unwrap();
    let mut back = FIRST_RECORD;
    link.stream.write_all(&FIRST_RECORD).await.unwrap();
    link.stream.flush().await.unwrap();
    link.stream.read_exact(&mut back).await.unwrap();
}
