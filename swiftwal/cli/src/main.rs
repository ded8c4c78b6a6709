//! The program `swiftwal` with the built-in backends.

fn main() -> std::process::ExitCode {
    swiftwal::run(swiftwal_backends::registry())
}
