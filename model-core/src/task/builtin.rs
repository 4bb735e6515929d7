//! The built-in tasks, by name.

use super::definition::{Head, Label, Region, Task, TaskDescription, exclusive, region_color};
use crate::{Error, Result};

/// The names of the built-in tasks.
pub const BUILTIN_TASKS: [&str; 9] = [
    "brats2018",
    "brats2019",
    "brats2020",
    "brats2021",
    "brats2022",
    "brats2023",
    "brats2024",
    "iseg2017",
    "iseg2019",
];

impl Task {
    /// Returns the built-in task of a name in [`BUILTIN_TASKS`].
    ///
    /// `brats2018` to `brats2023` are gliomas before treatment. Enhancing tumor is label 4 up to
    /// `brats2022`, and label 3 in `brats2023`. `brats2024` is gliomas after treatment, with enhancing
    /// tissue as label 3 and the resection cavity as label 4. `iseg2017` and `iseg2019` are infants'
    /// brains.
    ///
    /// # Errors
    /// [`Error::Task`] if there is no such task.
    pub fn builtin(name: &str) -> Result<Task> {
        Task::new(match name {
            "brats2018" => brats("BraTS 2018", 4),
            "brats2019" => brats("BraTS 2019", 4),
            "brats2020" => brats("BraTS 2020", 4),
            "brats2021" => brats("BraTS 2021", 4),
            "brats2022" => brats("BraTS 2022", 4),
            "brats2023" => brats("BraTS 2023", 3),
            "brats2024" => brats2024(),
            "iseg2017" => iseg("iSeg-2017"),
            "iseg2019" => iseg("iSeg-2019"),
            _ => {
                let names = BUILTIN_TASKS.join(", ");
                return Err(Error::task(format!("one of {names}"), format!("{name:?}")));
            }
        })
    }
}

/// Returns the task of gliomas after treatment: labels 1 non-enhancing tumor core (NETC), 2 surrounding
/// FLAIR hyperintensity (SNFH), 3 enhancing tissue (ET), 4 resection cavity (RC). The whole tumor is
/// ET, SNFH and NETC, and the tumor core is ET and NETC. The cavity belongs to neither (BraTS 2024
/// post-treatment glioma, de Verdier et al. 2024, arXiv:2405.18368).
fn brats2024() -> TaskDescription {
    let mut task = brats("BraTS 2024 post-treatment glioma", 3);
    let names = ["non-enhancing tumor core", "FLAIR hyperintensity", "enhancing tissue"];
    for (label, name) in task.labels.iter_mut().zip(names) {
        label.name = name.into();
    }
    task.regions[2].name = "enhancing tissue".into();
    let name = "resection cavity";
    task.labels.push(Label { name: name.into(), code: 4 });
    task.regions.push(Region {
        name: name.into(),
        labels: vec![4],
        writes: 4,
        color: region_color(3),
    });
    task
}

/// Returns the task of brains at six months, with three exclusive tissues (Wang et al. 2019, iSeg-2017;
/// Sun et al. 2021, iSeg-2019).
fn iseg(name: &str) -> TaskDescription {
    let tissues = [(10, "cerebrospinal fluid"), (150, "gray matter"), (250, "white matter")];
    let labels = tissues.map(|(code, tissue)| (code, tissue.to_string())).to_vec();
    exclusive(name, vec!["T1".into(), "T2".into()], labels)
}

/// Returns the task of gliomas before treatment, with `enhancing` as the code of enhancing tumor.
fn brats(name: &str, enhancing: u8) -> TaskDescription {
    let label = |name: &str, code| Label { name: name.to_string(), code };
    let region = |name: &str, labels: &[u8], writes, color| Region {
        name: name.to_string(),
        labels: labels.to_vec(),
        writes,
        color,
    };
    TaskDescription {
        name: name.to_string(),
        channels: ["T1", "T1Gd", "T2", "FLAIR"].map(String::from).to_vec(),
        labels: vec![
            label("necrotic core", 1),
            label("edema", 2),
            label("enhancing tumor", enhancing),
        ],
        regions: vec![
            region("whole tumor", &[1, 2, enhancing], 2, region_color(0)),
            region("tumor core", &[1, enhancing], 1, region_color(1)),
            region("enhancing tumor", &[enhancing], enhancing, region_color(2)),
        ],
        head: Head::Sigmoid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_tasks_are_consistent() {
        for name in BUILTIN_TASKS {
            Task::builtin(name).unwrap();
        }
        assert_eq!(Task::builtin("brats2018").unwrap().output_codes(), [2, 1, 4]);
        assert_eq!(Task::builtin("brats2023").unwrap().output_codes(), [2, 1, 3]);
        assert_eq!(Task::builtin("iseg2019").unwrap().output_codes(), [0, 10, 150, 250]);
        assert!(Task::builtin("brats").is_err());
    }

    #[test]
    fn label_4_of_brats2024_is_not_part_of_the_tumor() {
        let task = Task::builtin("brats2024").unwrap();
        let codes: Vec<&[u8]> = task.regions.iter().map(|r| &r.labels[..]).collect();
        assert_eq!(codes, [&[1, 2, 3][..], &[1, 3], &[3], &[4]]);
        assert!(task.check_codes(&[0, 4]).is_ok());
        let error = Task::builtin("brats2023").unwrap().check_codes(&[0, 4]).unwrap_err();
        assert!(error.to_string().contains("found [4]"), "{error}");
    }
}
