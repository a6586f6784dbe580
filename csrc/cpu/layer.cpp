// Whole layers: float images to codes, windows of codes to crossbars, integers to float images.
#include <atomic>

#include "cpu/dispatch.h"

namespace reram::cpu {
namespace {

// The input codes of a layer, padded: [images, rows, columns, channels], or with channels before
// rows for a narrow layer, which reads a word-line's codes of many positions at once.
class Codes {
 public:
  Codes(const reram_problem& p, const reram_layer& l, bool narrow)
      : l_(l),
        images_(p.positions[0]),
        channels_(p.groups * p.depth[0]),
        rows_(l.image_rows + 2 * int64_t(l.padding[0])),
        columns_(l.image_columns + 2 * int64_t(l.padding[1])) {
    const int64_t plane = rows_ * columns_;
    channel_stride_ = narrow ? plane : 1;
    column_stride_ = narrow ? 1 : channels_;
    row_stride_ = columns_ * column_stride_;
    codes_.reset(new uint8_t[size_t(images_ * channels_ * plane)]);
  }

  // Lets a problem read these codes.
  void serve(reram_problem& p) const {
    p.u_stride_position[0] = channels_ * rows_ * columns_;
    p.u_stride_position[1] = l_.stride[0] * row_stride_;
    p.u_stride_position[2] = l_.stride[1] * column_stride_;
    p.u_stride_group = p.depth[0] * channel_stride_;
    p.u_stride_depth[0] = channel_stride_;
    p.u_stride_depth[1] = l_.dilation[0] * row_stride_;
    p.u_stride_depth[2] = l_.dilation[1] * column_stride_;
  }
  const uint8_t* data() const { return codes_.get(); }

  int64_t lines() const { return images_ * rows_; }
  int64_t line_codes() const { return columns_ * channels_; }

  // Fills lines of the images one after the other, padding included. False if an input is not
  // finite.
  bool fill(const float* x, int64_t first, int64_t last, const Kernels& kernels,
            const Quantizer& q) const {
    bool finite = true;
    for (int64_t line = first, end; line < last; line = end) {
      const int64_t image = line / rows_, row = line % rows_;
      end = std::min(last, (image + 1) * rows_);
      uint8_t* to = codes_.get() + image * channels_ * rows_ * columns_;
      for (int64_t k = row; k < row + end - line; ++k) pad(to + k * row_stride_, k, q);
      const int64_t from = std::max<int64_t>(row - l_.padding[0], 0);
      const int64_t to_row = std::min<int64_t>(row + end - line - l_.padding[0], l_.image_rows);
      if (from >= to_row) continue;
      to += (from + l_.padding[0]) * row_stride_ + l_.padding[1] * column_stride_;
      const float* start = x + image * l_.x_strides[0] + from * l_.x_strides[2];
      finite &= l_.x_strides[1] == 1 && channels_ > 1
                    ? from_pixels(start, to_row - from, to, kernels, q)
                    : from_planes(start, to_row - from, to, kernels, q);
    }
    return finite;
  }

 private:
  // The part of a row that lies beside the image.
  void pad(uint8_t* row, int64_t index, const Quantizer& q) const {
    index -= l_.padding[0];
    const bool outside = index < 0 || index >= l_.image_rows;
    const int64_t left = outside ? columns_ : l_.padding[1], right = outside ? 0 : left;
    const bool pixels = channel_stride_ == 1;
    const int64_t width = pixels ? channels_ : 1;
    for (int64_t c = 0; c < (pixels ? 1 : channels_); ++c, row += channel_stride_) {
      std::fill_n(row, left * width, uint8_t(q.zero));
      std::fill_n(row + (columns_ - right) * width, right * width, uint8_t(q.zero));
    }
  }

  // x is contiguous along its channels.
  bool from_pixels(const float* x, int64_t rows, uint8_t* to, const Kernels& kernels,
                   const Quantizer& q) const {
    const int64_t width = l_.image_columns;
    bool finite = true;
    std::vector<uint8_t> pixel(static_cast<size_t>(channels_));
    for (int64_t r = 0; r < rows; ++r, x += l_.x_strides[2], to += row_stride_) {
      if (channel_stride_ == 1 && (l_.x_strides[3] == channels_ || width == 1)) {
        finite &= kernels.quantize(x, width * channels_, q, to);
        continue;
      }
      for (int64_t k = 0; k < width; ++k) {
        finite &= kernels.quantize(x + k * l_.x_strides[3], channels_, q, pixel.data());
        for (int64_t c = 0; c < channels_; ++c)
          to[k * column_stride_ + c * channel_stride_] = pixel[size_t(c)];
      }
    }
    return finite;
  }

  // x is contiguous along its columns. Short rows are quantized together where they lie together.
  bool from_planes(const float* x, int64_t rows, uint8_t* to, const Kernels& kernels,
                   const Quantizer& q) const {
    const int64_t width = l_.image_columns, plane = rows * width;
    const bool together = l_.x_strides[2] == width || rows == 1;
    std::vector<uint8_t> codes(static_cast<size_t>(channels_ * plane));
    bool finite = true;
    for (int64_t c = 0; c < channels_; ++c)
      for (int64_t r = 0; r < (together ? 1 : rows); ++r)
        finite &=
            kernels.quantize(x + c * l_.x_strides[1] + r * l_.x_strides[2],
                             together ? plane : width, q, codes.data() + c * plane + r * width);
    for (int64_t r = 0; r < rows; ++r) {
      const uint8_t* from = codes.data() + r * width;
      uint8_t* row = to + r * row_stride_;
      if (column_stride_ == 1) {
        for (int64_t c = 0; c < channels_; ++c)
          std::copy_n(from + c * plane, width, row + c * channel_stride_);
        continue;
      }
      for (int64_t k = 0; k < width; ++k)
        for (int64_t c = 0; c < channels_; ++c) row[k * channels_ + c] = from[c * plane + k];
    }
    return finite;
  }

  const reram_layer& l_;
  int64_t images_, channels_, rows_, columns_;
  int64_t channel_stride_, column_stride_, row_stride_;
  std::unique_ptr<uint8_t[]> codes_;
};

bool valid_layer(const reram_problem& p, const reram_layer& l) {
  constexpr int64_t kMost = 1 << 24;   // keeps products of two within 64 bits
  constexpr double kMostCodes = 1e15;  // more than any memory
  if (!(l.input_scale > 0) || !within(l.input_zero, 0, (1 << p.input_bits) - 1)) return false;
  const int64_t sizes[] = {l.image_rows, l.image_columns};
  double codes = double(p.positions[0]) * double(p.groups) * double(p.depth[0]);
  for (int d = 0; d < 2; ++d) {
    if (!within(sizes[d], 1, kMost) || !within(l.stride[d], 1, kMost) ||
        !within(l.dilation[d], 1, kMost) || !within(l.padding[d], 0, kMost))
      return false;
    const int64_t padded = sizes[d] + 2 * int64_t(l.padding[d]);
    const int64_t last =
        (p.positions[d + 1] - 1) * l.stride[d] + (p.depth[d + 1] - 1) * l.dilation[d];
    if (p.positions[d + 1] > kMost || last >= padded) return false;
    codes *= double(padded);
  }
  const bool planes = l.x_strides[3] == 1 || l.image_columns == 1;
  return codes < kMostCodes && (planes || l.x_strides[1] == 1);
}

}  // namespace
}  // namespace reram::cpu

using namespace reram;
using namespace reram::cpu;

int32_t reram_forward(const reram_problem* problem, const reram_layer* layer, const float* x,
                      const uint64_t* cells, const int32_t* levels, const uint8_t* comparisons,
                      const int32_t* edges, const int32_t* index, const float* scale,
                      const int32_t* code_sums, const float* bias, float* y, int64_t* made,
                      int64_t* driven) {
  if (!valid_call(problem) || !layer || !valid_layer(*problem, *layer)) return RERAM_BAD_ARGUMENT;
  if (!cells || !levels || !comparisons || !scale || !code_sums) return RERAM_BAD_ARGUMENT;
  if (!made != !driven) return RERAM_BAD_ARGUMENT;
  const Kernels* kernels = kernels_of(problem->isa);
  if (!kernels) return RERAM_BAD_ISA;
  try {
    reram_problem p = *problem;
    Job job(p, nullptr, cells);
    if (job.shape.positions && (!x || !y)) return RERAM_BAD_ARGUMENT;
    if (!valid_edges(p, edges) || !valid_index(p, job.shape, index)) return RERAM_BAD_ARGUMENT;
    Tables tables(job, edges);
    if (!tables.set(levels, comparisons, edges, index, made)) return RERAM_OVERFLOW;
    const Codes codes(p, *layer, job.is_narrow());
    codes.serve(p);
    job.input.u = codes.data();
    const Windows windows(job);
    const int64_t channels = p.groups * p.outputs;
    std::vector<float> scales(scale, scale + channels);
    std::vector<int32_t> corrections(code_sums, code_sums + channels);
    for (float& s : scales) s = s * layer->input_scale / float(p.unit);  // by 2: exact
    for (int32_t& c : corrections) c = int32_t(uint32_t(c) * uint32_t(layer->input_zero * p.unit));
    const Finish finish = {y, layer->y_strides, scales.data(), bias, corrections.data()};
    job.finish = &finish;
    const Quantizer q = {layer->input_scale, float(layer->input_zero),
                         float((1 << p.input_bits) - 1)};
    constexpr int64_t kPieceCodes = 16384;  // so many that taking a piece costs nothing beside it
    const int64_t step = std::max<int64_t>(1, kPieceCodes / codes.line_codes());
    std::atomic<bool> finite{true};
    const auto prepare = [&](int64_t piece) {
      const int64_t last = std::min((piece + 1) * step, codes.lines());
      if (!codes.fill(x, piece * step, last, *kernels, q)) finite = false;
    };
    convert_all(job, *kernels, up(codes.lines(), step), prepare, nullptr, made, driven);
    if (!finite) return RERAM_NOT_FINITE;
  } catch (const std::bad_alloc&) {
    return RERAM_NO_MEMORY;
  }
  return RERAM_OK;
}
