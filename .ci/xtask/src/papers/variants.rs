//! What is trained: the data sets, and the networks with their changes of the settings.

/// A data set.
#[derive(Clone, Copy)]
pub struct DataSet {
    /// The name of the folder, and of the settings in `trainer/configs/experiment/`.
    pub name: &'static str,
    /// The task, if the data set does not state it.
    pub task: Option<&'static str>,
    /// Channels of the input and outputs of the network.
    pub channels: [&'static str; 2],
    /// The settings for whole volumes: as many voxels in all as with patches.
    pub whole: &'static [&'static str],
}

/// The data sets.
pub const DATA_SETS: [DataSet; 2] = [
    DataSet {
        name: "hippocampus",
        task: None,
        channels: ["1", "3"],
        whole: &[
            "patch=[40,56,48]",
            "full_volume=true",
            "batch=1",
            "steps=300",
            "validate_every=30",
        ],
    },
    DataSet {
        name: "glioma2mm",
        task: Some("brats2021"),
        channels: ["4", "3"],
        whole: &["patch=[80,96,80]", "full_volume=true", "steps=170", "validate_every=17"],
    },
];

/// A network with changes of the settings.
#[derive(Clone, Copy)]
pub struct Variant {
    /// The name in tables and of the folder.
    pub name: &'static str,
    /// The network: a file of `trainer/configs/experiment/networks/`.
    pub network: &'static str,
    /// What differs from the data set's settings.
    pub changes: Changes,
}

/// Changes of a data set's settings.
#[derive(Clone, Copy)]
pub enum Changes {
    /// None.
    None,
    /// These settings.
    Settings(&'static [&'static str]),
    /// Whole volumes.
    Whole,
    /// As many steps as take the time of another variant's, by its first seed.
    TimeOf(&'static str),
}

const fn plain(name: &'static str) -> Variant {
    Variant { name, network: name, changes: Changes::None }
}

const STORED: Changes = Changes::Settings(&["backward=non_reversible"]);
const BRANCH: Changes = Changes::Settings(&["vae={}"]);

/// Everything that is trained.
pub const VARIANTS: [Variant; 22] = [
    plain("pendse-baseline"),
    plain("mbconv-base"),
    plain("mbconv-deeper"),
    plain("mbconv-wider"),
    plain("mbconv-slim"),
    plain("brugger-baseline"),
    plain("brugger-1-1"),
    plain("brugger-2-1"),
    plain("brugger-3-1"),
    plain("brugger-4-1"),
    plain("unet3d"),
    plain("partially-invres"),
    plain("fully-invres"),
    plain("fully-invres-slim"),
    Variant { name: "unet3d-branch", network: "unet3d", changes: BRANCH },
    Variant { name: "partially-invres-branch", network: "partially-invres", changes: BRANCH },
    Variant { name: "fully-invres-branch", network: "fully-invres", changes: BRANCH },
    Variant { name: "mbconv-base-stored", network: "mbconv-base", changes: STORED },
    Variant { name: "brugger-1-1-stored", network: "brugger-1-1", changes: STORED },
    Variant { name: "partially-invres-stored", network: "partially-invres", changes: STORED },
    Variant { name: "mbconv-base-whole", network: "mbconv-base", changes: Changes::Whole },
    Variant {
        name: "pendse-baseline-time-of-base",
        network: "pendse-baseline",
        changes: Changes::TimeOf("mbconv-base"),
    },
];
