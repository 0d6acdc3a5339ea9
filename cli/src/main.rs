//! The binary `asya`.

fn main() -> std::process::ExitCode {
    asya_cli::main()
}
