// Convolution of images, one group, float32.
#include "conv2d/cpu_direct.h"
#include "conv2d/cpu_problem.h"
#include "conv2d/cpu_winograd.h"
#include "cpu/entry.h"

namespace coopdraw::COOPDRAW_LEVEL {
namespace {

// An attribute that must be a whole number in [least, 2^20].
bool read_integer(const Operands& operands, int64_t index, int64_t least, int64_t& result) {
  const double value = operands.attribute(index);
  if (!(value >= static_cast<double>(least) && value <= 1048576.0)) return false;
  result = static_cast<int64_t>(value);
  return static_cast<double>(result) == value;
}

// Number of windows along an axis; 0 if there is no room for one.
int64_t windows(int64_t extent, int64_t kernel, int64_t stride, int64_t dilation) {
  const int64_t span = dilation * (kernel - 1) + 1;
  return extent < span ? 0 : (extent - span) / stride + 1;
}

Status read(const Operands& operands, Convolution& problem) {
  if (operands.inputs() < 2 || operands.inputs() > 3 || operands.outputs() != 1) return kWrongCount;
  int64_t bottom = 0, right = 0;
  const bool whole = read_integer(operands, 0, 1, problem.stride_height) &&
                     read_integer(operands, 1, 1, problem.stride_width) && read_integer(operands, 2, 0, problem.top) &&
                     read_integer(operands, 3, 0, bottom) && read_integer(operands, 4, 0, problem.left) &&
                     read_integer(operands, 5, 0, right) && read_integer(operands, 6, 1, problem.dilation_height) &&
                     read_integer(operands, 7, 1, problem.dilation_width);
  if (!whole) return kWrongAttribute;
  const Tensor x = operands.input(0), weight = operands.input(1), y = operands.output(0);
  if (x.rank != 4 || weight.rank != 4 || y.rank != 4) return kWrongShape;
  problem.batch = x.shape[0];
  problem.channels = x.shape[1];
  problem.height = x.shape[2];
  problem.width = x.shape[3];
  problem.out_channels = weight.shape[0];
  problem.kernel_height = weight.shape[2];
  problem.kernel_width = weight.shape[3];
  problem.out_height = y.shape[2];
  problem.out_width = y.shape[3];
  if (weight.shape[1] != problem.channels || problem.taps() < 1) return kWrongShape;
  if (y.shape[0] != problem.batch || y.shape[1] != problem.out_channels) return kWrongShape;
  const int64_t rows = windows(problem.height + problem.top + bottom, problem.kernel_height, problem.stride_height,
                               problem.dilation_height);
  const int64_t columns = windows(problem.width + problem.left + right, problem.kernel_width, problem.stride_width,
                                  problem.dilation_width);
  if (problem.out_height != rows || problem.out_width != columns || rows < 1 || columns < 1) return kWrongShape;
  if (operands.inputs() == 3) {
    if (!operands.input(2).is_vector(problem.out_channels)) return kWrongShape;
    problem.bias = operands.input(2).data;
  }
  problem.x = x.data;
  problem.weight = weight.data;
  problem.y = y.data;
  return kOk;
}

// A 1x1 kernel that meets each pixel takes an image as one row.
void flatten(Convolution& problem) {
  const bool all = problem.taps() == 1 && problem.stride_height == 1 && problem.stride_width == 1 &&
                   problem.out_height == problem.height && problem.out_width == problem.width;
  if (!all) return;
  problem.width = problem.out_width = problem.height * problem.width;
  problem.height = problem.out_height = 1;
}

}  // namespace

// Inputs x (N, C, H, W), weight (O, C, kh, kw)[, bias (O)]; attributes stride (h, w), padding (top, bottom, left,
// right), dilation (h, w); one output.
int conv2d(const Parameters& parameters) {
  Operands operands;
  Convolution problem{};
  if (const Status status = operands.read(parameters, 8)) return status;
  if (const Status status = read(operands, problem)) return status;
  const int64_t size = operands.output(0).size();
  if (size == 0) return kOk;
  flatten(problem);
  const int64_t work = size * (problem.channels * problem.taps() / 8 + 1);
  return suits_winograd(problem) ? convolve_by_winograd(problem, work) : convolve_directly(problem, work);
}

}  // namespace coopdraw::COOPDRAW_LEVEL

COOPDRAW_KERNEL(conv2d)
