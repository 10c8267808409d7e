// Copies with strides, padding and atomics. The tiling key chooses the case; x has 4096 floats, z takes 4096.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t COUNT = 4096;

template <typename T>
class Copies {
public:
    __aicore__ inline Copies(GM_ADDR x, GM_ADDR z)
    {
        xGlobal.SetGlobalBuffer((__gm__ T*)x, COUNT);
        zGlobal.SetGlobalBuffer((__gm__ T*)z, COUNT);
        pipe.InitBuffer(queue, 1, COUNT * sizeof(T));
        pipe.InitBuffer(other, COUNT * sizeof(T));
    }

    __aicore__ inline LocalTensor<T> Loaded()
    {
        LocalTensor<T> tensor = queue.template AllocTensor<T>();
        DataCopy(tensor, xGlobal, COUNT);
        queue.EnQue(tensor);
        return queue.template DeQue<T>();
    }

    TPipe pipe;
    TQueBind<TPosition::VECIN, TPosition::VECOUT, 1> queue;
    TBuf<TPosition::VECCALC> other;
    GlobalTensor<T> xGlobal, zGlobal;
};

template <typename T>
__aicore__ inline void Run(GM_ADDR x, GM_ADDR z)
{
    Copies<T> copies(x, z);
    LocalTensor<T> tensor;
    if (TILING_KEY_IS(0)) {  // blocks of 64 bytes, every second one, to the end of the output
        tensor = copies.Loaded();
        DataCopy(copies.zGlobal, tensor, COUNT);
        PipeBarrier<PIPE_MTE3>();
        DataCopy(copies.zGlobal, tensor, DataCopyParams(4, 2, 2, 0));
    } else if (TILING_KEY_IS(1)) {  // rows of 5 elements, padded to a block of 8 with value 7 on the right
        tensor = copies.queue.template AllocTensor<T>();
        DataCopyPad(tensor, copies.xGlobal, DataCopyExtParams(512, 5 * sizeof(T), 3 * sizeof(T), 0, 0),
                    DataCopyPadExtParams<T>(true, 0, 3, T(7)));
        copies.queue.EnQue(tensor);
        tensor = copies.queue.template DeQue<T>();
        DataCopy(copies.zGlobal, tensor, COUNT);
    } else if (TILING_KEY_IS(2)) {  // rows of 5 elements side by side
        tensor = copies.Loaded();
        DataCopy(copies.zGlobal, tensor, COUNT);
        PipeBarrier<PIPE_MTE3>();
        DataCopyPad(copies.zGlobal, tensor, DataCopyExtParams(512, 5 * sizeof(T), 0, 0, 0));
    } else if (TILING_KEY_IS(3)) {  // 1 + x + x
        InitOutput<T>(copies.zGlobal, COUNT, T(1));
        PipeBarrier<PIPE_ALL>();
        tensor = copies.Loaded();
        SetAtomicAdd<T>();
        DataCopy(copies.zGlobal, tensor, COUNT);
        PipeBarrier<PIPE_MTE3>();
        DataCopy(copies.zGlobal, tensor, COUNT);
        SetAtomicNone();
    } else if (TILING_KEY_IS(4)) {  // max(x, 0)
        InitOutput<T>(copies.zGlobal, COUNT, T(0));
        PipeBarrier<PIPE_ALL>();
        tensor = copies.Loaded();
        SetAtomicMax<T>();
        DataCopy(copies.zGlobal, tensor, COUNT);
        SetAtomicNone();
    } else if (TILING_KEY_IS(5)) {  // adds to what nobody wrote
        tensor = copies.Loaded();
        SetAtomicAdd<T>();
        DataCopy(copies.zGlobal, tensor, COUNT);
        SetAtomicNone();
    } else if (TILING_KEY_IS(6)) {  // left and right padding without a value
        tensor = copies.queue.template AllocTensor<T>();
        DataCopyPad(tensor, copies.xGlobal, DataCopyExtParams(1, 6 * sizeof(T), 0, 0, 0),
                    DataCopyPadExtParams<T>(false, 1, 1, T(7)));
        copies.queue.EnQue(tensor);
        tensor = copies.queue.template DeQue<T>();
        DataCopy(copies.zGlobal, tensor, 8);
    }
    copies.queue.FreeTensor(tensor);
}

extern "C" __global__ __aicore__ void copies(GM_ADDR x, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    Run<float>(x, z);
}

extern "C" __global__ __aicore__ void copies_half(GM_ADDR x, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    Run<half>(x, z);
}

// An ND matrix of 48 x 40 halves as NZ in L1, and from there out as it lies.
extern "C" __global__ __aicore__ void nd_to_nz(GM_ADDR x, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIC_ONLY);
    TPipe pipe;
    TBuf<TPosition::A1> buffer;
    pipe.InitBuffer(buffer, 48 * 48 * sizeof(half));
    LocalTensor<half> tensor = buffer.Get<half>();
    GlobalTensor<half> xGlobal, zGlobal;
    xGlobal.SetGlobalBuffer((__gm__ half*)x);
    zGlobal.SetGlobalBuffer((__gm__ half*)z);
    DataCopy(tensor, xGlobal, Nd2NzParams(1, 48, 40, 0, 40, 48, 1, 0));
    SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
    WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
    DataCopy(zGlobal, tensor, 48 * 48);
}
