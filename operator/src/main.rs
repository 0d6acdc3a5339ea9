//! `asya-operator`; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    asya_operator::args::main()
}
