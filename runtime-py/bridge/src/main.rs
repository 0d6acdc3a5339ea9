//! The binary `asya-sidecar-py`: the sidecar with the handler inside. With `ASYA_RUNTIME=socket` it is `asya-sidecar`.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    asya_bridge::program::run().await
}
