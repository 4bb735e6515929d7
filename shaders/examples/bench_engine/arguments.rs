//! The arguments that `cargo xtask bench engine` passes on.

use shaders::kernels::Storage;

const USAGE: &str = "bench_engine [--preset NAME] [--size N|IxJxK] [--channels N] [--budget MIB] \
     [--storage auto|f32|f16] [--fused auto|no|N] [--repeat N]";

/// The command line of the benchmark.
pub struct Arguments {
    /// The network.
    pub preset: String,
    /// Voxels along i, j, k, before padding to a size that the network accepts.
    pub size: [usize; 3],
    /// Channels of the input.
    pub channels: usize,
    /// Memory budget of the plan.
    pub budget_bytes: u64,
    /// Type of the feature maps; by default the budget decides.
    pub storage: Option<Storage>,
    /// Largest width of fused blocks; by default the faster choice on this GPU.
    pub max_fused_channels: Option<usize>,
    /// Number of timed runs.
    pub repeat: usize,
}

impl Arguments {
    /// Parses the command line.
    ///
    /// # Errors
    /// Returns the usage text.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            preset: "mbconv-slim".into(),
            size: [64; 3],
            channels: 4,
            budget_bytes: 4 << 30,
            storage: None,
            max_fused_channels: None,
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
                self.max_fused_channels = match value {
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
