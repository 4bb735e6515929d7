//! Reads and writes a module's parameters by name. The module holds them in the order in which data
//! passes them, as [`crate::network::layers::parameters`] lists them, so their position gives their
//! name.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::UNet3d;
use crate::network::layers::{Parameter, parameters};
use crate::{Array, Error, Result, Weights};

impl UNet3d {
    /// Reads the parameters back from the device.
    pub fn weights(&self) -> Weights {
        let mut reader = Reader { arrays: Vec::new() };
        self.visit(&mut reader);
        let names = parameters(&self.config).into_iter().map(|parameter| parameter.name);
        names.zip(reader.arrays).collect()
    }

    /// Returns the network with other parameters, each on the device of the old one.
    ///
    /// # Errors
    /// [`Error::Network`] if a parameter is missing, unknown, or of another shape.
    pub fn load(self, weights: &Weights) -> Result<UNet3d> {
        let list = parameters(&self.config);
        if list.len() != weights.len() {
            return Err(Error::network(format!("{} parameters", list.len()), weights.len()));
        }
        let mut writer = Writer { list: list.into_iter(), weights, error: None };
        let network = self.map(&mut writer);
        match writer.error {
            Some(error) => Err(error),
            None => Ok(network),
        }
    }
}

struct Reader {
    arrays: Vec<Array>,
}

impl ModuleVisitor for Reader {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let data = param.val().into_data();
        let shape = data.shape().to_vec();
        let values = data.convert::<f32>().try_into_vec::<f32>().expect("converted to f32");
        self.arrays.push(Array { shape, values });
    }
}

struct Writer<'a> {
    list: std::vec::IntoIter<Parameter>,
    weights: &'a Weights,
    error: Option<Error>,
}

impl ModuleMapper for Writer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.list.next().map_or("none".into(), |parameter| parameter.name);
        let shape = param.lazy_shape().to_vec();
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
