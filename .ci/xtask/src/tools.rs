//! Programs that the commands need beside Rust. They are installed if possible; otherwise an error
//! names them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::command::run;

/// The page's compilation target.
pub const WASM: &str = "wasm32-unknown-unknown";

/// Debian's packages for [`Tools`].
const PACKAGES: [&str; 4] = ["chromium", "chromium-driver", "mesa-vulkan-drivers", "libvulkan1"];

/// Adds the page's compilation target to the toolchain if it is missing.
///
/// # Errors
/// If the target cannot be added. The error contains the command to add it by hand.
pub fn add_wasm_target(sh: &Shell) -> Result<()> {
    let folder = cmd!(sh, "rustc --print target-libdir --target {WASM}").quiet().read()?;
    if Path::new(&folder).is_dir() {
        return Ok(());
    }
    run(cmd!(sh, "rustup target add {WASM}")).context(format!(
        "Rust's target {WASM} is missing and could not be added. Install it with \
         `rustup target add {WASM}`, which needs the network once, or with your system's package of \
         Rust's standard library for wasm32."
    ))
}

/// The programs that the browser tests and the GPU tests use.
pub struct Tools {
    /// A Chromium or Chrome.
    pub browser: PathBuf,
    /// The browser's `chromedriver`.
    pub driver: PathBuf,
    /// The description file of Mesa's software Vulkan, on systems whose GPU interface is Vulkan.
    software_vulkan: Option<PathBuf>,
}

impl Tools {
    /// Finds the tools. Installs missing tools if the user is root on Debian.
    ///
    /// # Errors
    /// If a tool is missing and cannot be installed. The error contains the packages to install.
    pub fn find_or_install(sh: &Shell) -> Result<Tools> {
        let missing = match Tools::find() {
            Ok(tools) => return Ok(tools),
            Err(missing) => missing,
        };
        let is_root = cmd!(sh, "id -u").quiet().read().is_ok_and(|id| id == "0");
        if !(is_root && Path::new("/etc/debian_version").exists()) {
            bail!(
                "{missing}. The tests need a Chromium or Chrome with its chromedriver, and on \
                 Linux software Vulkan. On Debian:\n  sudo apt-get install {}",
                PACKAGES.join(" ")
            );
        }
        println!("  {missing}: installing");
        let apt = |apt: xshell::Cmd| run(apt.env("DEBIAN_FRONTEND", "noninteractive"));
        apt(cmd!(sh, "apt-get update --quiet"))?;
        apt(cmd!(sh, "apt-get install --quiet --yes {PACKAGES...}"))?;
        Tools::find()
    }

    fn find() -> Result<Tools> {
        let browsers = ["chromium", "chromium-browser", "google-chrome", "chrome"];
        let browser = find_program("CHROME", &browsers).context("no chromium on the PATH")?;
        let driver = find_program("CHROMEDRIVER", &["chromedriver"]);
        let driver = driver.context("no chromedriver on the PATH")?;
        let software_vulkan = match cfg!(target_os = "linux") {
            true => Some(find_lavapipe().context("no Mesa software Vulkan (lvp_icd.*.json)")?),
            false => None,
        };
        Ok(Tools { browser, driver, software_vulkan })
    }

    /// Returns the environment variable that selects software Vulkan, if Vulkan is the GPU
    /// interface.
    pub fn vulkan_variable(&self) -> Option<(&'static str, &Path)> {
        self.software_vulkan.as_deref().map(|description| ("VK_ICD_FILENAMES", description))
    }
}

/// Returns the program in an environment variable, or the first of the given names on the `PATH`.
fn find_program(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Some(PathBuf::from(path));
    }
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    let file_name = |name: &&str| format!("{name}{}", env::consts::EXE_SUFFIX);
    let mut candidates = names
        .iter()
        .map(file_name)
        .flat_map(|name| folders.iter().map(move |folder| folder.join(&name)).collect::<Vec<_>>());
    candidates.find(|program| program.is_file())
}

/// Returns the description file of lavapipe, Mesa's software Vulkan.
fn find_lavapipe() -> Option<PathBuf> {
    let folders = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    files.map(|file| file.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("lvp_icd") && name.ends_with(".json")
    })
}
