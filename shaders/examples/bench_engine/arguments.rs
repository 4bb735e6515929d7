//! What is to be measured, as `cargo xtask bench engine` passes it on.

use shaders::kernels::Storage;

const USAGE: &str = "bench_engine [--preset NAME] [--size N|IxJxK] [--channels N] [--budget MIB] \
     [--storage auto|f32|f16] [--fused auto|no|N] [--repeat N]";

/// What is to be measured.
pub struct Arguments {
    /// The network.
    pub preset: String,
    /// Voxels along i, j, k, before they are padded to what the network takes.
    pub size: [usize; 3],
    /// Channels of the input.
    pub channels: usize,
    /// What may be allocated.
    pub budget_bytes: u64,
    /// In what maps are stored; else what the budget allows.
    pub storage: Option<Storage>,
    /// Up to how many channels blocks are fused; else what is faster on the GPU.
    pub most_fused: Option<usize>,
    /// Runs that count.
    pub repeat: usize,
}

impl Arguments {
    /// Reads the words of a command line.
    ///
    /// # Errors
    /// Says how it is used.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            preset: "mbconv-slim".into(),
            size: [64; 3],
            channels: 4,
            budget_bytes: 4 << 30,
            storage: None,
            most_fused: None,
            repeat: 5,
        };
        let words: Vec<String> = words.collect();
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(usage(&pair[0])) };
            arguments.set(name, value).ok_or_else(|| usage(&pair.join(" ")))?;
        }
        Ok(arguments)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let positive = |value: &str| value.parse().ok().filter(|&n: &usize| n > 0);
        match name {
            "--preset" => self.preset = value.into(),
            "--size" => {
                let sizes: Vec<usize> = value.split('x').map(positive).collect::<Option<_>>()?;
                self.size = match sizes[..] {
                    [n] => [n; 3],
                    [i, j, k] => [i, j, k],
                    _ => return None,
                };
            }
            "--channels" => self.channels = positive(value)?,
            "--budget" => self.budget_bytes = (positive(value)? as u64).checked_mul(1 << 20)?,
            "--repeat" => self.repeat = positive(value)?,
            "--fused" => {
                self.most_fused = match value {
                    "auto" => None,
                    "no" => Some(0),
                    _ => Some(positive(value)?),
                };
            }
            "--storage" => {
                self.storage = match value {
                    "auto" => None,
                    "f32" => Some(Storage::F32),
                    "f16" => Some(Storage::F16),
                    _ => return None,
                };
            }
            _ => return None,
        }
        Some(())
    }
}

fn usage(found: &str) -> String {
    format!("expected {USAGE}, found {found}")
}
