//! The kernels against plain loops, on whole maps and on slabs with planes of neighbors.

use cpu_kernels::channels::{ChannelAffine, Channels};
use cpu_kernels::conv3::Conv3;
use cpu_kernels::covariance::Covariance;
use cpu_kernels::expand_depthwise::ExpandDepthwise;
use cpu_kernels::moments::Moments;
use cpu_kernels::pointwise::Pointwise;
use cpu_kernels::products::products;
use cpu_kernels::slab::Slab;
use cpu_kernels::{depthwise, elementwise, max_pool, upsample};

/// A map of `channels` channels of `dims` voxels, `[channel, k, j, i]`.
#[derive(Clone)]
struct Map {
    channels: usize,
    dims: [usize; 3],
    values: Vec<f32>,
}

impl Map {
    fn random(channels: usize, dims: [usize; 3], seed: u32) -> Map {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 - 0.4
        };
        let values = (0..channels * dims.iter().product::<usize>()).map(|_| next()).collect();
        Map { channels, dims, values }
    }

    /// Returns a value; 0 outside of the map.
    fn at(&self, c: usize, [i, j, k]: [isize; 3]) -> f32 {
        let [ni, nj, nk] = self.dims.map(|n| n as isize);
        match (0..ni).contains(&i) && (0..nj).contains(&j) && (0..nk).contains(&k) {
            true => {
                self.values[((c as isize * nk + k) * nj + j) as usize * ni as usize + i as usize]
            }
            false => 0.0,
        }
    }

    /// Returns a map with a value for each channel and voxel.
    fn from_fn(channels: usize, dims: [usize; 3], f: impl Fn(usize, [isize; 3]) -> f32) -> Map {
        let [ni, nj, nk] = dims.map(|n| n as isize);
        let mut values = Vec::new();
        for c in 0..channels {
            for k in 0..nk {
                for j in 0..nj {
                    values.extend((0..ni).map(|i| f(c, [i, j, k])));
                }
            }
        }
        Map { channels, dims, values }
    }

    /// Returns a range of planes of every channel.
    fn planes(&self, range: std::ops::Range<usize>) -> Vec<f32> {
        let [ni, nj, nk] = self.dims;
        let channels = self.values.chunks_exact(ni * nj * nk);
        channels.flat_map(|c| c[range.start * ni * nj..range.end * ni * nj].to_vec()).collect()
    }

    fn normed(&self, affines: &[ChannelAffine]) -> Map {
        Map::from_fn(self.channels, self.dims, |c, at| affines[c].apply(self.at(c, at)))
    }
}

fn affines(channels: usize) -> Vec<ChannelAffine> {
    let of = |c| ChannelAffine { scale: 1.5 - c as f32 * 0.3, shift: 0.2, slope: 0.1 };
    (0..channels).map(of).collect()
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.1f32, |most, x| most.max(x.abs()));
    for (n, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 * largest, "{what} at {n}: {a} instead of {b}");
    }
}

fn assert_moments(found: &[Moments], map: &Map, what: &str) {
    let voxels = map.dims.iter().product();
    assert_eq!(found.len(), map.channels, "{what}");
    for (found, channel) in found.iter().zip(map.values.chunks_exact(voxels)) {
        let mean = channel.iter().map(|&x| f64::from(x)).sum::<f64>() / voxels as f64;
        let squares: f64 = channel.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        assert!((found.mean - mean).abs() < 1e-5 * (1.0 + mean.abs()), "{what}: {found:?} {mean}");
        assert!((found.squares - squares).abs() < 1e-4 * (1.0 + squares), "{what}: {squares}");
    }
}

/// The slabs of a map in two parts, with the range of stored planes and of own planes of the map.
fn slabs(dims: [usize; 3]) -> [(Slab, std::ops::Range<usize>, std::ops::Range<usize>); 3] {
    let [ni, nj, nk] = dims;
    let (half, plane) = (nk / 2, |planes, own| Slab { dims: [ni, nj, planes], own });
    [
        (Slab::whole(dims), 0..nk, 0..nk),
        (plane(half + 1, 0..half), 0..half + 1, 0..half),
        (plane(nk - half + 1, 1..nk - half + 1), half - 1..nk, half..nk),
    ]
}

const SIZES: [[usize; 3]; 4] = [[37, 5, 6], [16, 8, 2], [1, 3, 4], [20, 33, 12]];

#[test]
fn convolutions_are_those_of_plain_loops() {
    for dims in SIZES {
        let (x, norms) = (Map::random(5, dims, 1), affines(5));
        let normed = x.normed(&norms);
        let weight = Map::random(7 * 5 * 27, [1; 3], 2).values;
        let taps = |c: usize, w: &dyn Fn(usize) -> f32, [i, j, k]: [isize; 3]| -> f32 {
            let tap = |t: isize| normed.at(c, [i + t % 3 - 1, j + t / 3 % 3 - 1, k + t / 9 - 1]);
            (0..27).map(|t| w(t as usize) * tap(t)).sum()
        };
        let deep = Map::from_fn(5, dims, |c, at| taps(c, &|t| weight[c * 27 + t], at));
        let dense = Map::from_fn(7, dims, |o, at| {
            (0..5).map(|c| taps(c, &|t| weight[(o * 5 + c) * 27 + t], at)).sum()
        });
        let points = Map::from_fn(7, dims, |o, at| {
            0.5 + (0..5).map(|c| weight[o * 5 + c] * normed.at(c, at)).sum::<f32>()
        });
        for (slab, stored, own) in slabs(dims) {
            let what = format!("{dims:?} {own:?}");
            let values = x.planes(stored.clone());
            let source = Channels::new(&values, Some(&norms));
            let part = |map: &Map| Map {
                dims: [dims[0], dims[1], own.len()],
                values: map.planes(own.clone()),
                ..*map
            };
            let of = |channels| Map {
                channels,
                dims: slab.dims,
                values: vec![0.0; channels * slab.voxels()],
            };

            let mut found = of(5);
            let moments =
                depthwise::forward(source, &weight[..5 * 27], &slab, &mut found.values, true);
            assert_near(&found.planes(slab.own.clone()), &part(&deep).values, &what);
            assert_moments(&moments, &part(&deep), &what);

            let mut found = of(7);
            let convolution = Conv3::new(7, 5, |o, c, t| weight[(o * 5 + c) * 27 + t]);
            let moments = convolution.forward(source, &slab, &mut found.values, false, true);
            assert_near(&found.planes(slab.own.clone()), &part(&dense).values, &what);
            assert_moments(&moments, &part(&dense), &what);

            let mut found = of(7);
            let bias = Some(vec![0.5; 7]);
            let convolution = Pointwise::new(7, 5, bias, |o, c| weight[o * 5 + c]);
            let range = slab.own_voxels();
            let moments =
                convolution.forward(source, &mut found.values, range.clone(), false, true);
            assert_near(&found.planes(slab.own.clone()), &part(&points).values, &what);
            assert_moments(&moments, &part(&points), &what);

            // The statistics of the same outputs, from those of the inputs.
            let covariance = Covariance::of(source, 5, range);
            let outputs = weight[..7 * 5].chunks_exact(5).map(|row| {
                let of_output = covariance.output(row);
                Moments { mean: of_output.mean + 0.5, ..of_output }
            });
            assert_moments(&outputs.collect::<Vec<_>>(), &part(&points), &what);
        }
    }
}

/// Covers blocks and tiles that are not full, several parts, and several groups of rows.
#[test]
fn products_of_channels_are_those_of_plain_loops() {
    for (r, c, dims) in
        [(1, 1, [3, 1, 1]), (5, 7, [37, 5, 4]), (70, 300, [9, 5, 3]), (9, 4, [40, 40, 40])]
    {
        let (rows, columns) = (Map::random(r, dims, 1), Map::random(c, dims, 2));
        let norms = affines(c);
        let sums = products(
            Channels::new(&rows.values, None),
            Channels::new(&columns.values, Some(&norms)),
            [r, c],
        );
        let voxels = dims.iter().product::<usize>();
        let expected = |n: usize| -> f64 {
            let (row, column) = (&rows.values[n / c * voxels..], &columns.values[n % c * voxels..]);
            let pairs = row.iter().zip(column).take(voxels);
            pairs.map(|(&x, &y)| f64::from(x) * f64::from(norms[n % c].apply(y))).sum()
        };
        for (n, sum) in sums.iter().enumerate() {
            let expected = expected(n);
            let allowed = 1e-6 * (voxels as f64).sqrt() * 10.0;
            assert!((sum - expected).abs() < allowed, "{r} × {c}, {n}: {expected}, found {sum}");
        }
        assert_eq!(sums.len(), r * c);
    }
}

#[test]
fn the_fused_half_of_a_block_is_its_parts_one_after_the_other() {
    for dims in SIZES {
        let (x, norms, of_expanded) = (Map::random(5, dims, 3), affines(5), affines(9));
        let weight = Map::random(9 * 27, [1; 3], 4).values;
        for (slab, stored, _) in slabs(dims) {
            let values = x.planes(stored);
            let source = Channels::new(&values, Some(&norms));
            let block = ExpandDepthwise::new(&weight[..45], &of_expanded, &weight);
            let mut fused = vec![0.0; 9 * slab.voxels()];
            let moments = block.forward(source, &slab, &mut fused);

            let convolution = Pointwise::new(9, 5, None, |o, c| weight[o * 5 + c]);
            let mut expanded = vec![0.0; 9 * slab.voxels()];
            convolution.forward(source, &mut expanded, 0..slab.voxels(), false, false);
            let mut plain = vec![0.0; 9 * slab.voxels()];
            let source = Channels::new(&expanded, Some(&of_expanded));
            let expected = depthwise::forward(source, &weight, &slab, &mut plain, true);
            let own = |values: &[f32]| {
                Map { channels: 9, dims: slab.dims, values: values.to_vec() }
                    .planes(slab.own.clone())
            };
            assert_near(&own(&fused), &own(&plain), &format!("{dims:?}"));
            for (a, b) in moments.iter().zip(&expected) {
                assert!((a.mean - b.mean).abs() < 1e-5, "{a:?} {b:?}");
                assert!((a.squares - b.squares).abs() < 1e-4 * (1.0 + b.squares), "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn resampling_and_sums_are_those_of_plain_loops() {
    for dims in [[37, 5, 6], [1, 1, 2], [20, 33, 12]] {
        let (x, norms) = (Map::random(3, dims, 5), affines(3));
        let normed = x.normed(&norms);
        let fine_dims = dims.map(|n| 2 * n);
        let nearest = |c: usize, at: [isize; 3]| {
            normed.at(c, std::array::from_fn(|a| at[a].clamp(0, dims[a] as isize - 1)))
        };
        let fine = Map::from_fn(3, fine_dims, |c, at| {
            let corner = |n: usize| {
                let sides: [(isize, f32); 3] = std::array::from_fn(|a| {
                    let (near, step) = (at[a].div_euclid(2), 2 * (at[a] & 1) - 1);
                    if n >> a & 1 == 0 { (near, 0.75) } else { (near + step, 0.25) }
                });
                let weight: f32 = sides.iter().map(|side| side.1).product();
                weight * nearest(c, sides.map(|side| side.0))
            };
            (0..8).map(corner).sum()
        });
        let skip = Map::random(3, fine_dims, 6);
        let sum =
            Map::from_fn(3, fine_dims, |c, at| fine.at(c, at) + norms[c].apply(skip.at(c, at)));
        for ((slab, stored, _), (to, to_stored, own)) in
            slabs(dims).into_iter().zip(slabs(fine_dims))
        {
            let values = x.planes(stored);
            let source = Channels::new(&values, Some(&norms));
            let planes = |values: Vec<f32>| {
                Map { channels: 3, dims: to.dims, values }.planes(to.own.clone())
            };
            let mut found = vec![0.0; 3 * to.voxels()];
            upsample::forward(source, &slab, &mut found, &to, None);
            assert_near(&planes(found), &fine.planes(own.clone()), "up-sampled");
            let mut found = skip.planes(to_stored);
            upsample::forward(source, &slab, &mut found, &to, Some(&norms));
            assert_near(&planes(found), &sum.planes(own), "added");
        }

        let pooled = Map::from_fn(3, dims, |c, [i, j, k]| {
            let voxel = |n: isize| [2 * i + n % 2, 2 * j + n / 2 % 2, 2 * k + n / 4];
            let values = (0..8).map(|n| norms[c].apply(skip.at(c, voxel(n))));
            values.fold(f32::NEG_INFINITY, f32::max)
        });
        let mut found = vec![0.0; x.values.len()];
        let [from, to] = [fine_dims, dims].map(Slab::whole);
        max_pool::forward(Channels::new(&skip.values, Some(&norms)), &from, &mut found, &to);
        assert_near(&found, &pooled.values, "pooled");

        let voxels = dims.iter().product();
        elementwise::add(
            Channels::new(&x.values, Some(&norms)),
            &mut found,
            3,
            0..voxels,
            None,
            -1.0,
        );
        let difference = Map::from_fn(3, dims, |c, at| pooled.at(c, at) - normed.at(c, at));
        assert_near(&found, &difference.values, "subtracted");
    }
}
