//! Settings as TOML tables, and the overlay of tables.

use model_core::network::config::NetworkSettings;
use toml::{Table, Value};

use super::TrainConfig;

/// Returns settings as a table.
pub(super) fn table_of(config: &TrainConfig) -> Table {
    // Through text, because there 32-bit numbers have no more digits than they need.
    let text = toml::to_string(config).expect("settings are plain values");
    toml::from_str(&text).expect("what was written is read back")
}

/// Overlays settings with others. Of two exclusive settings, the given one removes the other.
pub(super) fn overlay(under: &mut Table, mut over: Table) {
    write_out_preset(under, &mut over);
    let excluded = [("preset", "network"), ("network", "preset"), ("decay", "milestones")];
    for (given, other) in excluded {
        if over.contains_key(given) && !over.contains_key(other) {
            under.remove(other);
        }
    }
    let names_a_preset = |value: &Value| value.get("preset").is_some();
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over))
                if !names_a_preset(&Value::Table(over.clone())) =>
            {
                overlay(under, over);
            }
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Returns whether a table changes a network that is described elsewhere.
pub(super) fn is_part_of_network(settings: &Table) -> bool {
    let network = settings.get("network").and_then(Value::as_table);
    network.is_some_and(|network| !network.contains_key("widths"))
}

/// Replaces the preset that a table changes by its settings. The preset is that of the table itself,
/// else that of the settings below it.
fn write_out_preset(under: &mut Table, over: &mut Table) {
    if !is_part_of_network(over) {
        return;
    }
    let preset = over.remove("preset").or_else(|| under.remove("preset"));
    let named = preset.as_ref().and_then(Value::as_str).map(NetworkSettings::preset);
    match (named, preset) {
        (Some(Ok(network)), _) => {
            let config = TrainConfig { network: Some(network), ..TrainConfig::default() };
            under.insert("network".into(), table_of(&config)["network"].clone());
        }
        // An unknown name is reported when the network is built.
        (_, Some(other)) => drop(over.insert("preset".into(), other)),
        (_, None) => {}
    }
}
