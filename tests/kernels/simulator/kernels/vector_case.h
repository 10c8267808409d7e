// One vector instruction on an image of the unified buffer: the image goes in, the instruction of the case changes it,
// the image comes out.
#pragma once

#include "kernel_operator.h"

// Mirrored by vector_cases.py.
struct VectorCase {
    uint64_t mask[2];
    int32_t form;  // 0: count, 1: number of leading elements, 2: bits, 3: mask registers as the case set them
    int32_t count;
    int32_t repeats;
    int32_t type;
    int32_t operation;
    int32_t mode;
    int32_t dst, src0, src1;  // in bytes
    int32_t dst_elements;     // the destination tensor's size; 0: to the end of the image
    int32_t dst_block, src0_block, src1_block;
    int32_t dst_repeat, src0_repeat, src1_repeat;
    int32_t counter;  // 1: counter mode
    int32_t image_bytes, written_bytes, returned_bytes;
    float scalar;
    int32_t extra[4];
};

class Image {
public:
    explicit Image(const VectorCase& parameters, GM_ADDR in, GM_ADDR out) : parameters_(parameters) {
        pipe_.InitBuffer(buffer_, parameters.image_bytes);
        in_.SetGlobalBuffer(in);
        out_.SetGlobalBuffer(out);
        AscendC::DataCopy(bytes(), in_, parameters.written_bytes);
        AscendC::PipeBarrier<PIPE_ALL>();
    }
    ~Image() {
        AscendC::PipeBarrier<PIPE_ALL>();
        AscendC::DataCopy(out_, bytes(), parameters_.returned_bytes);
    }

    template <typename T>
    AscendC::LocalTensor<T> at(int32_t offset) {
        return bytes()[offset].ReinterpretCast<T>();
    }
    template <typename T>
    AscendC::LocalTensor<T> dst() {
        auto tensor = at<T>(parameters_.dst);
        if (parameters_.dst_elements != 0) {
            tensor.SetSize(parameters_.dst_elements);
        }
        return tensor;
    }
    template <typename T>
    AscendC::LocalTensor<T> src0() {
        return at<T>(parameters_.src0);
    }
    template <typename T>
    AscendC::LocalTensor<T> src1() {
        return at<T>(parameters_.src1);
    }

    AscendC::UnaryRepeatParams unary() const {
        const auto& p = parameters_;
        return {p.dst_block, p.src0_block, p.dst_repeat, p.src0_repeat};
    }
    AscendC::BinaryRepeatParams binary() const {
        const auto& p = parameters_;
        return {p.dst_block, p.src0_block, p.src1_block, p.dst_repeat, p.src0_repeat, p.src1_repeat};
    }

private:
    AscendC::LocalTensor<uint8_t> bytes() { return buffer_.Get<uint8_t>(); }

    const VectorCase& parameters_;
    AscendC::TPipe pipe_;
    AscendC::TBuf<AscendC::TPosition::VECCALC> buffer_;
    AscendC::GlobalTensor<uint8_t> in_, out_;
};

// Sets the mask registers for form 3, as kernels that pass MASK_PLACEHOLDER do.
template <typename T>
void set_registers(const VectorCase& p) {
    if (p.counter != 0) {
        AscendC::SetMaskCount();
        AscendC::SetVectorMask<T, AscendC::MaskMode::COUNTER>(p.count);
    } else {
        AscendC::SetMaskNorm();
        AscendC::SetVectorMask<T>(p.mask[1], p.mask[0]);
    }
}

inline void reset_registers() {
    AscendC::SetMaskNorm();
    AscendC::ResetMask();
}

// Calls `counted` or one of the repeat forms; Name stands for the function.
#define CALL_FORMS(T, Name, counted, ...)                                                             \
    {                                                                                                 \
        if (p.form == 0) {                                                                            \
            counted;                                                                                  \
        } else if (p.form == 1) {                                                                     \
            Name<T>(__VA_ARGS__, p.mask[0], p.repeats, repeat_parameters);                            \
        } else if (p.form == 2) {                                                                     \
            uint64_t bits[2] = {p.mask[0], p.mask[1]};                                                \
            Name<T>(__VA_ARGS__, bits, p.repeats, repeat_parameters);                                 \
        } else {                                                                                      \
            set_registers<T>(p);                                                                      \
            Name<T, false>(__VA_ARGS__, AscendC::MASK_PLACEHOLDER, p.repeats, repeat_parameters);     \
            reset_registers();                                                                        \
        }                                                                                             \
        return;                                                                                       \
    }
