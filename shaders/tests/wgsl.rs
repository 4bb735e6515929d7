//! The WGSL sources are valid, and say the same as their host side.

use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use shaders::kernels::{Hardware, KERNELS, Kernel, Storage};

/// Every kernel for every kind of map, and what it asks of the hardware.
fn sources() -> impl Iterator<Item = (&'static Kernel, String, Capabilities)> {
    let plain = Hardware::default();
    let kinds = [
        (Storage::F32, plain, Capabilities::empty()),
        (Storage::F32, Hardware { has_subgroups: true, ..plain }, Capabilities::SUBGROUP),
        // As naga calls what WGSL has everywhere: f16 unpacked to f32.
        (Storage::F16, plain, Capabilities::SHADER_FLOAT16_IN_FLOAT32),
        (Storage::F16, Hardware { has_f16: true, ..plain }, Capabilities::SHADER_FLOAT16),
    ];
    KERNELS.into_iter().flat_map(move |kernel| {
        kinds.map(|(storage, hardware, asked)| (kernel, kernel.source(storage, hardware), asked))
    })
}

#[test]
fn every_kernel_is_valid_wgsl_and_its_params_have_the_hosts_size() {
    for (kernel, source, capabilities) in sources() {
        let module = naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|e| panic!("{}: {}", kernel.name, e.emit_to_string(&source)));
        let mut validator = Validator::new(ValidationFlags::all(), capabilities);
        validator.subgroup_stages(ShaderStages::COMPUTE);
        validator.subgroup_operations(SubgroupOperationSet::all());
        validator.validate(&module).unwrap_or_else(|e| panic!("{}: {e:?}", kernel.name));
        let entries: Vec<&str> = module.entry_points.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(entries, kernel.entries, "{}", kernel.name);
        let params = module.types.iter().find(|(_, t)| t.name.as_deref() == Some("Params"));
        let (_, params) = params.unwrap_or_else(|| panic!("{}: no struct Params", kernel.name));
        let naga::TypeInner::Struct { span, .. } = params.inner else { panic!("{params:?}") };
        assert_eq!(span as usize, kernel.params_bytes, "{}", kernel.name);
    }
}

/// The default limits of WebGPU, on which the engine runs.
#[test]
fn workgroups_fit_the_default_limits() {
    for (kernel, source, _) in sources() {
        let module = naga::front::wgsl::parse_str(&source).unwrap();
        for entry in &module.entry_points {
            let invocations: u32 = entry.workgroup_size.iter().product();
            assert!(invocations <= 256, "{} {}", kernel.name, entry.name);
        }
        let mut layouter = naga::proc::Layouter::default();
        layouter.update(module.to_ctx()).unwrap();
        let bytes_in = |space: naga::AddressSpace| -> u32 {
            let variables = module.global_variables.iter().filter(|(_, v)| v.space == space);
            variables.map(|(_, v)| layouter[v.ty].size).sum()
        };
        assert!(bytes_in(naga::AddressSpace::WorkGroup) <= 16 << 10, "{}", kernel.name);
    }
}

/// Constants that stand in both files.
#[test]
fn tile_sizes_agree_with_the_host() {
    let body = |name: &str| KERNELS.iter().find(|k| k.name == name).unwrap().body;
    assert!(body("depthwise_conv").contains("const PLANES: u32 = 8u;"));
    assert!(body("depthwise_conv").contains("const ROWS: u32 = 2u;"));
    assert!(body("moments").contains("const CHUNK_QUADS: u32 = 2048u;"));
    assert!(body("covariance").contains("const CHUNK_QUADS: u32 = 2048u;"));
    assert!(body("expand_depthwise").contains("const SEGMENT_PLANES: u32 = 16u;"));
    let (_, fused, _) = sources().find(|(k, ..)| k.name == "expand_depthwise").unwrap();
    assert!(fused.contains("const TILE: u32 = 8u;"));
    assert!(body("pointwise_conv").contains("const QUADS_PER_INVOCATION: u32 = 8u;"));
    assert_eq!(shaders::kernels::pointwise_conv::QUADS_PER_INVOCATION, 8);
    assert_eq!(shaders::kernels::covariance::CHUNK_QUADS, 2048);
    assert_eq!(shaders::kernels::expand_depthwise::SEGMENT_PLANES, 16);
    assert_eq!(shaders::kernels::expand_depthwise::TILE, 8);
    assert_eq!(shaders::kernels::depthwise_conv::PLANES, 8);
    assert_eq!(shaders::kernels::depthwise_conv::ROWS, 2);
    assert_eq!(shaders::kernels::moments::CHUNK_QUADS, 2048);
}
