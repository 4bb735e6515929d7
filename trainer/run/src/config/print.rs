//! The settings in force as a commented file: `rewind train --print-config`.

use toml::Value;

use super::TrainConfig;
use super::read::table_of as table;

/// Every setting with what it means; the values are the defaults, and for settings that have none,
/// which stand there as comments, examples.
const REFERENCE: &str = include_str!("reference.toml");

/// A setting of the reference, or the head of a table of them.
struct Entry<'a> {
    /// Dotted, such as `augment.flip`.
    path: String,
    comment: Vec<&'a str>,
    /// The line without the mark of a comment.
    line: &'a str,
}

/// Settings as TOML that can be read back, each with what it means.
pub fn printed(config: &TrainConfig) -> String {
    let values = table(config);
    let mut text =
        String::from("# Settings of `rewind train`; a file needs to name only what it changes.\n");
    for Entry { path, comment, line } in entries(REFERENCE) {
        let value = path.split('.').try_fold(None, |at: Option<&Value>, key| match at {
            None => values.get(key).map(Some),
            Some(value) => value.get(key).map(Some),
        });
        text.push('\n');
        comment.iter().for_each(|comment| text += &format!("{comment}\n"));
        let key = path.rsplit('.').next().unwrap_or(&path);
        text += &match value.flatten() {
            Some(Value::Table(_)) => format!("{line}\n"),
            Some(value) => format!("{key} = {value}\n"),
            None => format!("# {line}\n"),
        };
    }
    text
}

/// The settings of a reference, in its order.
fn entries(reference: &str) -> Vec<Entry<'_>> {
    let (mut table, mut comment, mut entries) = (String::new(), Vec::new(), Vec::new());
    for line in reference.lines() {
        // "#: " marks a setting that has no value unless one is given.
        let (line, is_comment) = match line.strip_prefix("#: ") {
            Some(line) => (line, false),
            None => (line, line.starts_with('#')),
        };
        if line.is_empty() {
            comment.clear();
        } else if is_comment {
            comment.push(line);
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            table = format!("{name}.");
            entries.push(Entry { path: name.into(), comment: std::mem::take(&mut comment), line });
        } else if let Some((key, _)) = line.split_once('=') {
            let path = format!("{table}{}", key.trim());
            entries.push(Entry { path, comment: std::mem::take(&mut comment), line });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use model_core::{NetworkSettings, Vae};
    use toml::Table;

    fn paths(prefix: &str, table: &Table, found: &mut Vec<String>) {
        for (key, value) in table {
            let path = format!("{prefix}{key}");
            if let Value::Table(table) = value {
                paths(&format!("{path}."), table, found);
            }
            found.push(path);
        }
    }

    #[test]
    fn every_setting_is_documented() {
        let full = TrainConfig {
            network: Some(NetworkSettings::preset("mbconv-slim").unwrap()),
            vae: Some(Vae { patch: Some([32; 3]), ..Vae::default() }),
            ..TrainConfig::parse("recipe = \"brugger\"\npreset = \"demo\"").unwrap()
        };
        let mut settings = Vec::new();
        paths("", &Table::try_from(&full).unwrap(), &mut settings);
        let entries = entries(REFERENCE);
        for path in settings {
            let entry = entries.iter().find(|entry| entry.path == path);
            let entry = entry.unwrap_or_else(|| panic!("{path} is not in reference.toml"));
            assert!(!entry.comment.is_empty(), "{path} has no comment in reference.toml");
        }
    }

    #[test]
    fn the_reference_states_the_defaults_and_examples_that_can_be_read() {
        assert_eq!(TrainConfig::parse(REFERENCE).unwrap(), TrainConfig::default());
        let examples = REFERENCE.lines().filter_map(|line| line.strip_prefix("#: "));
        let top = examples.take_while(|line| !line.starts_with('['));
        for line in top.filter(|line| !line.starts_with("fold ")) {
            TrainConfig::parse(line).unwrap();
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let own = "[network]\nwidths = [8, 16]\ndecoder = \"conv1\"\ngroups = 4\n[network.vae]\n";
        let branch = "preset = \"demo\"\n[vae]\nunits = 16";
        for text in ["", "recipe = \"brugger\"", branch, own] {
            let config = TrainConfig::parse(text).unwrap();
            let printed = printed(&config);
            assert_eq!(TrainConfig::parse(&printed).unwrap(), config, "{printed}");
        }
    }
}
