//! A module's parameters as plain numbers under the names of [`crate::config::parameters`].

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::UNet3d;
use crate::{Array, Error, Result, Weights};

impl UNet3d {
    /// The parameters, read back from the device.
    pub fn weights(&self) -> Weights {
        let mut reader = Reader::default();
        self.visit(&mut reader);
        reader.weights
    }

    /// The same network with other parameters, each on the device that it was on.
    ///
    /// # Errors
    /// [`Error::Network`] when a parameter is missing, has another shape, or is not the network's.
    pub fn load(self, weights: &Weights) -> Result<UNet3d> {
        let mut writer = Writer { path: Vec::new(), weights, used: 0, error: None };
        let network = self.map(&mut writer);
        if let Some(error) = writer.error {
            return Err(error);
        }
        if writer.used != weights.len() {
            let expected = format!("{} parameters", writer.used);
            return Err(Error::network(expected, weights.len()));
        }
        Ok(network)
    }
}

#[derive(Default)]
struct Reader {
    path: Vec<String>,
    weights: Weights,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        let shape = data.shape().to_vec();
        let values = data.convert::<f32>().try_into_vec::<f32>().expect("converted to f32");
        self.weights.insert(self.path.join("."), Array { shape, values });
    }
}

struct Writer<'a> {
    path: Vec<String>,
    weights: &'a Weights,
    used: usize,
    error: Option<Error>,
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let shape = param.lazy_shape().to_vec();
        self.used += 1;
        match self.weights.get(&name) {
            Some(array) if array.shape == shape => {
                let data = TensorData::new(array.values.clone(), shape);
                param.map(|tensor| {
                    let tracked = tensor.is_require_grad();
                    Tensor::from_data(data, &tensor.device()).set_require_grad(tracked)
                })
            }
            found => {
                let found = found.map_or("none".into(), |array| format!("shape {:?}", array.shape));
                let expected = format!("parameter {name} of shape {shape:?}");
                self.error.get_or_insert(Error::network(expected, found));
                param
            }
        }
    }
}
