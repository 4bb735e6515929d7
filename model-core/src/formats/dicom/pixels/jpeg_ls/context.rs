//! The statistics from which JPEG-LS adapts its codes (T.87, A.2 and A.6).

/// The largest number of low bits of a code.
const MAX_GOLOMB_PARAMETER: u32 = 16;

/// Returns the number of low bits for a mean error of `sum / count`.
fn golomb_parameter(sum: i64, count: i64) -> u32 {
    let mut k = 0;
    while count << k < sum && k < MAX_GOLOMB_PARAMETER {
        k += 1;
    }
    k
}

/// The statistics of the pixels in one region of gradients.
#[derive(Clone)]
pub struct Context {
    /// The sum of the errors' sizes.
    sum: i64,
    /// The sum of the errors, kept near 0.
    bias: i32,
    /// What is added to predictions.
    pub correction: i32,
    count: i32,
}

impl Context {
    pub fn new(sum: i32) -> Context {
        Context { sum: sum.into(), bias: 0, correction: 0, count: 1 }
    }

    pub fn golomb_parameter(&self) -> u32 {
        golomb_parameter(self.sum, self.count.into())
    }

    /// Returns the error of a code (T.87, A.5.2).
    pub fn error(&self, code: i32, k: u32, near: i32) -> i32 {
        let is_swapped = near == 0 && k == 0 && 2 * self.bias <= -self.count;
        let half = code >> 1;
        match (code & 1 == 1, is_swapped) {
            (true, false) | (false, true) => -half - 1,
            (false, false) | (true, true) => half,
        }
    }

    pub fn update(&mut self, error: i32, near: i32, reset: i32) {
        self.bias += error * (2 * near + 1);
        self.sum += i64::from(error.abs());
        if self.count == reset {
            self.sum >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.bias = (self.bias + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-128);
        } else if self.bias > 0 {
            self.bias = (self.bias - self.count).min(0);
            self.correction = (self.correction + 1).min(127);
        }
    }
}

/// The statistics of the pixels that end runs.
pub struct RunContext {
    sum: i64,
    count: i32,
    num_negative: i32,
    /// 1 if the pixels to the left and above are equal.
    kind: i32,
}

impl RunContext {
    pub fn new(sum: i32, kind: i32) -> RunContext {
        RunContext { sum: sum.into(), count: 1, num_negative: 0, kind }
    }

    pub fn golomb_parameter(&self) -> u32 {
        let sum = self.sum + i64::from(self.count >> 1) * i64::from(self.kind);
        golomb_parameter(sum, self.count.into())
    }

    /// Returns the error of a code, and counts it (T.87, A.7.2).
    pub fn error(&mut self, code: i32, k: u32, reset: i32) -> i32 {
        let mapped = code + self.kind;
        let is_odd = mapped & 1 == 1;
        let size = (mapped + i32::from(is_odd)) / 2;
        let is_negative = (k != 0 || 2 * self.num_negative >= self.count) == is_odd;
        self.num_negative += i32::from(is_negative && size > 0);
        self.sum += i64::from((code + 1 - self.kind) >> 1);
        if self.count == reset {
            self.sum >>= 1;
            self.count >>= 1;
            self.num_negative >>= 1;
        }
        self.count += 1;
        if is_negative { -size } else { size }
    }
}
