//! The program: command line in, exit code out.

use std::io::{BufWriter, stdout};
use std::process::ExitCode;

use xpra::command::{self, Failure, Program, Settings};
use xpra::discovery::Environment;

fn main() -> ExitCode {
    match start() {
        Ok(code) => code.into(),
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("{failure}");
            }
            failure.code.into()
        }
    }
}

fn start() -> Result<command::ExitCode, Failure> {
    let mut out = BufWriter::new(stdout().lock());
    let environment = Environment::from_process();
    let settings = Settings::read(&environment);
    let Some(program) = Program::parse(std::env::args_os(), &settings, &mut out)? else {
        return Ok(command::ExitCode::Ok);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(program.run(&environment, &mut out))
}
