//! Short vectors of f32, natively as arrays that the compiler turns into the instructions of the
//! surrounding function's target, in WebAssembly as its 128-bit vectors.
//!
//! The page's WebAssembly is optimized for size, which turns the compiler's vectorizer off; so its
//! vectors are spelled out here.

/// A vector of f32.
pub(crate) trait Vector: Copy {
    /// Number of values.
    const LANES: usize;

    /// Returns the value in all lanes.
    fn splat(value: f32) -> Self;

    /// Loads the values from index `at` on.
    ///
    /// # Safety
    /// `at + LANES` must not exceed the length of `from`.
    unsafe fn load_unchecked(from: &[f32], at: usize) -> Self;

    /// Loads the first values.
    #[inline(always)]
    fn load(from: &[f32]) -> Self {
        assert!(from.len() >= Self::LANES);
        // SAFETY: the length was just checked.
        unsafe { Self::load_unchecked(from, 0) }
    }

    /// Stores the values at the beginning of `to`.
    fn store(self, to: &mut [f32]);

    /// Stores as many values as `to` holds, at most all.
    #[inline(always)]
    fn store_some(self, to: &mut [f32]) {
        if to.len() >= Self::LANES {
            return self.store(to);
        }
        let mut all = [0.0; MAX_LANES];
        self.store(&mut all);
        to.copy_from_slice(&all[..to.len()]);
    }

    /// Loads as many values as `from` holds, at most all; the others are 0.
    #[inline(always)]
    fn load_some(from: &[f32]) -> Self {
        if from.len() >= Self::LANES {
            return Self::load(from);
        }
        let mut all = [0.0; MAX_LANES];
        all[..from.len()].copy_from_slice(from);
        Self::load(&all)
    }

    /// Adds lane by lane.
    fn add(self, other: Self) -> Self;

    /// Subtracts lane by lane.
    fn sub(self, other: Self) -> Self;

    /// Multiplies lane by lane.
    fn mul(self, other: Self) -> Self;

    /// Returns the larger value of each lane.
    fn max(self, other: Self) -> Self;

    /// Computes `self · by + plus`, rounded once or twice, as the machine has it.
    fn mul_add(self, by: Self, plus: Self) -> Self;

    /// Returns positive values as they are and others times `slope`.
    fn rectified(self, slope: Self) -> Self;

    /// Stores the lanes of two vectors in turn: the first of each, the second of each, and so on.
    fn store_pairs(self, other: Self, to: &mut [f32]);

    /// Sums the lanes.
    fn sum(self) -> f32;
}

/// The most lanes of any vector.
pub(crate) const MAX_LANES: usize = 32;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use arrays::Lanes;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod arrays {
    use super::Vector;

    /// A vector as an array. Set `FUSED` only if the machine has fused multiply-adds; otherwise each
    /// would be a function call.
    #[derive(Clone, Copy)]
    pub(crate) struct Lanes<const N: usize, const FUSED: bool>([f32; N]);

    impl<const N: usize, const FUSED: bool> Lanes<N, FUSED> {
        #[inline(always)]
        fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
            let mut result = self;
            for lane in 0..N {
                result.0[lane] = f(self.0[lane], other.0[lane]);
            }
            result
        }
    }

    impl<const N: usize, const FUSED: bool> Vector for Lanes<N, FUSED> {
        const LANES: usize = N;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            Lanes([value; N])
        }

        #[inline(always)]
        unsafe fn load_unchecked(from: &[f32], at: usize) -> Self {
            debug_assert!(at + N <= from.len());
            // SAFETY: the caller promises that N values follow. An array of f32 needs no more alignment
            // than an f32.
            Lanes(unsafe { from.as_ptr().add(at).cast::<[f32; N]>().read() })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32]) {
            to[..N].copy_from_slice(&self.0);
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            self.zip(other, |a, b| a + b)
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            self.zip(other, |a, b| a - b)
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            self.zip(other, |a, b| a * b)
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            self.zip(other, |a, b| if b > a { b } else { a })
        }

        #[inline(always)]
        fn mul_add(self, by: Self, plus: Self) -> Self {
            let mut result = plus;
            for lane in 0..N {
                let (a, b) = (self.0[lane], by.0[lane]);
                result.0[lane] =
                    if FUSED { a.mul_add(b, result.0[lane]) } else { a * b + result.0[lane] };
            }
            result
        }

        #[inline(always)]
        fn rectified(self, slope: Self) -> Self {
            self.zip(slope, |x, slope| if x > 0.0 { x } else { x * slope })
        }

        #[inline(always)]
        fn store_pairs(self, other: Self, to: &mut [f32]) {
            for (lane, pair) in to[..2 * N].as_chunks_mut().0.iter_mut().enumerate() {
                *pair = [self.0[lane], other.0[lane]];
            }
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            // Halves are added, since a chain of additions would take as long as a loop.
            let (mut lanes, mut width) = (self.0, N);
            while width > 1 {
                width /= 2;
                for lane in 0..width {
                    lanes[lane] += lanes[lane + width];
                }
            }
            lanes[0]
        }
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use wasm::Quads;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use core::arch::wasm32::*;

    use super::Vector;

    /// `N` vectors of four lanes.
    #[derive(Clone, Copy)]
    pub(crate) struct Quads<const N: usize>([v128; N]);

    impl<const N: usize> Quads<N> {
        #[inline(always)]
        fn zip(self, other: Self, f: impl Fn(v128, v128) -> v128) -> Self {
            let mut result = self;
            for n in 0..N {
                result.0[n] = f(self.0[n], other.0[n]);
            }
            result
        }
    }

    impl<const N: usize> Vector for Quads<N> {
        const LANES: usize = 4 * N;

        #[inline(always)]
        fn splat(value: f32) -> Self {
            Quads([f32x4_splat(value); N])
        }

        #[inline(always)]
        unsafe fn load_unchecked(from: &[f32], at: usize) -> Self {
            debug_assert!(at + 4 * N <= from.len());
            // SAFETY: the caller promises that 4 N values follow; loads need no alignment.
            Quads(std::array::from_fn(|n| unsafe {
                v128_load(from.as_ptr().add(at + 4 * n).cast())
            }))
        }

        #[inline(always)]
        fn store(self, to: &mut [f32]) {
            let to = &mut to[..4 * N];
            for (n, quad) in self.0.into_iter().enumerate() {
                // SAFETY: `to` has 4 N values; stores need no alignment.
                unsafe { v128_store(to.as_mut_ptr().add(4 * n).cast(), quad) }
            }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_add(a, b))
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_sub(a, b))
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_mul(a, b))
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_pmax(a, b))
        }

        #[inline(always)]
        fn mul_add(self, by: Self, plus: Self) -> Self {
            self.mul(by).add(plus)
        }

        #[inline(always)]
        fn rectified(self, slope: Self) -> Self {
            let zero = f32x4_splat(0.0);
            self.zip(slope, |x, slope| v128_bitselect(x, f32x4_mul(x, slope), f32x4_gt(x, zero)))
        }

        #[inline(always)]
        fn store_pairs(self, other: Self, to: &mut [f32]) {
            let pairs = to[..8 * N].as_chunks_mut::<8>().0.iter_mut();
            for (pairs, (a, b)) in pairs.zip(self.0.into_iter().zip(other.0)) {
                Quads([i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b)])
                    .store(pairs);
            }
        }

        #[inline(always)]
        fn sum(self) -> f32 {
            let mut all = self.0[0];
            for quad in &self.0[1..] {
                all = f32x4_add(all, *quad);
            }
            let lane = |n: usize| match n {
                0 => f32x4_extract_lane::<0>(all),
                1 => f32x4_extract_lane::<1>(all),
                2 => f32x4_extract_lane::<2>(all),
                _ => f32x4_extract_lane::<3>(all),
            };
            lane(0) + lane(1) + (lane(2) + lane(3))
        }
    }
}

/// Defines a function that runs `body`, generic over a [`Vector`], with the widest vectors of the
/// machine. The lanes are those of 512, 256 and 128 bits, times `registers`.
macro_rules! vectorized {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident, 1) => {
        vectorized!(@ $(#[$doc])* $vis fn $name($($arg: $type),*) $(-> $out)? = $body, 16, 8, 4, 1);
    };
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident, 1, 2 in wasm) => {
        vectorized!(@ $(#[$doc])* $vis fn $name($($arg: $type),*) $(-> $out)? = $body, 16, 8, 4, 2);
    };
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident, 2) => {
        vectorized!(@ $(#[$doc])* $vis fn $name($($arg: $type),*) $(-> $out)? = $body, 32, 16, 8, 2);
    };
    (@ $(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)? = $body:ident, $w512:literal, $w256:literal, $w128:literal, $quads:literal) => {
        $(#[$doc])*
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        #[multiversion::multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma", "aarch64+neon"))]
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $type),*) $(-> $out)? {
            use $crate::vector::Lanes;
            multiversion::target::match_target! {
                "x86_64+avx512f" => $body::<Lanes<$w512, true>>($($arg),*),
                "x86_64+avx2+fma" => $body::<Lanes<$w256, true>>($($arg),*),
                "aarch64+neon" => $body::<Lanes<$w128, true>>($($arg),*),
                _ => $body::<Lanes<$w128, false>>($($arg),*),
            }
        }
        $(#[$doc])*
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        // Inlined into code that is optimized for size, it would be optimized for size too.
        #[inline(never)]
        #[allow(clippy::too_many_arguments)]
        $vis fn $name($($arg: $type),*) $(-> $out)? {
            $body::<$crate::vector::Quads<$quads>>($($arg),*)
        }
    };
}
pub(crate) use vectorized;
