//! Writes what the fuzzer begins with, into `corpus/` beside this crate: datagrams and scripts from a simulated
//! cluster.
//!
//! ```text
//! RUSTFLAGS='--cfg fuzzing' cargo run --manifest-path fuzz/Cargo.toml --example corpus
//! ```

use std::error::Error;
use std::fs;
use std::path::Path;

use headcount::fuzz::Corpus;

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Corpus::new()?;
    let inputs = [("decode", &corpus.decode), ("protocol", &corpus.protocol), ("sealed", &corpus.protocol)];
    for (target, inputs) in inputs {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&dir)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(dir.join(format!("simulated-{number:02}")), input)?;
        }
        let bytes: usize = inputs.iter().map(Vec::len).sum();
        println!("{}: {} inputs, {bytes} bytes", dir.display(), inputs.len());
    }
    Ok(())
}
