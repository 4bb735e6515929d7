//! What the commands need beside Rust: installed where that is possible, else named exactly.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command::run;

/// The page's compilation target.
pub const WASM: &str = "wasm32-unknown-unknown";

/// Debian's packages for [`Tools`].
const PACKAGES: [&str; 4] = ["chromium", "chromium-driver", "mesa-vulkan-drivers", "libvulkan1"];

/// Adds the page's target to the toolchain where it is missing.
///
/// # Errors
/// When it cannot be added; the error says how to do it by hand.
pub fn wasm_target() -> Result<()> {
    let mut query = Command::new("rustc");
    query.args(["--print", "target-libdir", "--target", WASM]);
    let output = query.output().context("cannot run rustc")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", WASM])).context(format!(
        "Rust's target {WASM} is missing here and could not be added. Install it with \
         `rustup target add {WASM}` (it needs the network once), or with the package of your \
         system that holds Rust's standard library for wasm32."
    ))
}

/// What the tests drive.
pub struct Tools {
    /// A Chromium or Chrome.
    pub browser: PathBuf,
    /// Its `chromedriver`.
    pub driver: PathBuf,
    /// The description of Mesa's software Vulkan, where Vulkan is the GPU's interface.
    pub software_vulkan: Option<PathBuf>,
}

impl Tools {
    /// Finds the tools; as root on a Debian they are installed where they are missing.
    ///
    /// # Errors
    /// When one is missing and cannot be installed; the error says what to install.
    pub fn find_or_install() -> Result<Tools> {
        let missing = match Tools::find() {
            Ok(tools) => return Ok(tools),
            Err(missing) => missing,
        };
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
        if !(root && Path::new("/etc/debian_version").exists()) {
            bail!(
                "{missing}. The tests need a Chromium or Chrome with its chromedriver, and on \
                 Linux software Vulkan. On Debian:\n  sudo apt-get install {}",
                PACKAGES.join(" ")
            );
        }
        println!("  {missing}: installing");
        let apt = |args: &[&str]| {
            run(Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive"))
        };
        apt(&["update", "--quiet"])?;
        apt(&[&["install", "--quiet", "--yes"], &PACKAGES[..]].concat())?;
        Tools::find()
    }

    fn find() -> Result<Tools> {
        let browsers = ["chromium", "chromium-browser", "google-chrome", "chrome"];
        let browser = on_path("CHROME", &browsers).context("no chromium on the PATH")?;
        let driver = on_path("CHROMEDRIVER", &["chromedriver"]);
        let driver = driver.context("no chromedriver on the PATH")?;
        let software_vulkan = match cfg!(target_os = "linux") {
            true => Some(lavapipe().context("no Mesa software Vulkan (lvp_icd.*.json)")?),
            false => None,
        };
        Ok(Tools { browser, driver, software_vulkan })
    }
}

/// A program named by an environment variable, or else the first of these names on the path.
fn on_path(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = env::var_os(variable) {
        return Some(PathBuf::from(named));
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let file = |name: &&str| format!("{name}{}", env::consts::EXE_SUFFIX);
    let mut candidates = names
        .iter()
        .map(file)
        .flat_map(|name| folders.iter().map(move |folder| folder.join(&name)).collect::<Vec<_>>());
    candidates.find(|program| program.is_file())
}

fn lavapipe() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    files.map(|file| file.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("lvp_icd") && name.ends_with(".json")
    })
}
