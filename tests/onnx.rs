//! A model leaves as ONNX whole: every operation, weight and word about it is in the file.
//!
//! `tests/onnx/compare.py` compares with onnxruntime what `REWIND_ONNX=DIR` makes this test write.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::env;
use std::fs;
use std::path::PathBuf;

use model_core::config::{PRESETS, parameters};
use model_core::{Array, Bundle, Op, Program, Task, UNetConfig, Weights, orthogonal};
use promises::shrunk;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use trainer::DISCLAIMER;
use trainer::export::{Storage, write_onnx, write_onnx_sample};
use trainer::onnx::{self, proto};

use crate::bundle::small_bundle;

/// Weights that leave no parameter at a value that would hide it, such as a scale of 1.
fn random_weights(config: &UNetConfig) -> Weights {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let array = |parameter: model_core::config::Parameter| {
        let count: usize = parameter.shape.iter().product();
        let fan_in = (count / parameter.shape[0]).max(1) as f32;
        let scale = if parameter.shape.len() == 1 { 1.0 } else { (3.0 / fan_in).sqrt() };
        let values = (0..count).map(|_| random.random_range(-scale..scale)).collect();
        (parameter.name, Array { shape: parameter.shape, values })
    };
    parameters(config).into_iter().map(array).collect()
}

fn bundle(preset: &str) -> Bundle {
    let network = UNetConfig { blocks: 2, ..shrunk(preset) };
    let mut bundle = small_bundle();
    bundle.weights = random_weights(&network);
    bundle.card.network = network;
    bundle.card.task = Task::builtin("brats2023").unwrap();
    bundle
}

fn exported(bundle: &Bundle, storage: Storage) -> proto::ModelProto {
    onnx::read(&onnx::bytes(bundle, storage).unwrap()).unwrap()
}

fn numbers(tensor: &proto::TensorProto) -> Vec<f32> {
    assert_eq!(tensor.data_type, proto::FLOAT, "{}", tensor.name);
    tensor.raw_data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// For the comparison in onnxruntime, which continuous integration does not have.
#[test]
fn exports_are_written_where_a_comparison_asks_for_them() {
    let Some(folder) = env::var_os("REWIND_ONNX").map(PathBuf::from) else { return };
    for preset in PRESETS {
        for (storage, name) in
            [(Storage::F32, preset.into()), (Storage::F16, format!("{preset}-f16"))]
        {
            let bundle = match storage {
                Storage::F32 => bundle(preset),
                Storage::F16 => bundle(preset).rounded_to_f16(),
            };
            let folder = folder.join(name);
            fs::create_dir_all(&folder).unwrap();
            write_onnx(&bundle, &folder.join("model.onnx"), storage).unwrap();
            write_onnx_sample(&bundle, &folder.join("test_data_set_0")).unwrap();
        }
    }
}
