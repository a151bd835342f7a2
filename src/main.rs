//! The `pinfold` program: everything is in [`pinfold::cli`].

fn main() -> std::process::ExitCode {
    pinfold::cli::main()
}
