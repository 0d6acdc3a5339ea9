//! Generates the types and the service of custom analyzers from `proto/`, without the `protoc` program.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    #[cfg(feature = "custom")]
    {
        let files = protox::compile(["proto/custom_analyzer.proto"], ["proto"])?;
        // The server is for tests: without `connect` the client needs no transport of the library's choice.
        tonic_prost_build::configure().build_transport(false).compile_fds(files)?;
    }
    Ok(())
}
