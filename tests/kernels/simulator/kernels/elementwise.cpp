// z = x + y in tiles, with a double-buffered queue for each tensor. The tiling names one thing to leave out or to do
// wrong, so that one build serves all tests of queues.
#include "kernel_operator.h"

using namespace AscendC;

enum Fault : uint32_t {
    NONE,
    NO_ENQUE,
    NO_FREE,
    NO_FREE_AT_END,
    WRONG_QUEUE,
    OUTPUT_QUEUE_FOR_INPUT,
    DEPTH_EXCEEDED,
    FREE_TWICE,
    NO_HAND_OVER_TO_VECTOR,
    NO_HAND_OVER_TO_COPY_OUT,
    READS_STALE_BUFFER,
    ENQUE_TWICE,
    FREE_BEFORE_USE,
};

constexpr int32_t BUFFERS = 2;

class Elementwise {
public:
    __aicore__ inline Elementwise(const ElementwiseTiling& tiling) : fault(tiling.fault), tile(tiling.tile)
    {
        perCore = tiling.length / GetBlockNum();
    }

    __aicore__ inline void Init(GM_ADDR x, GM_ADDR y, GM_ADDR z)
    {
        const uint64_t first = perCore * GetBlockIdx();
        xGlobal.SetGlobalBuffer((__gm__ float*)x + first, perCore);
        yGlobal.SetGlobalBuffer((__gm__ float*)y + first, perCore);
        zGlobal.SetGlobalBuffer((__gm__ float*)z + first, perCore);
        pipe.InitBuffer(xQueue, BUFFERS, tile * sizeof(float));
        pipe.InitBuffer(yQueue, BUFFERS, tile * sizeof(float));
        pipe.InitBuffer(zQueue, BUFFERS, tile * sizeof(float));
        pipe.InitBuffer(otherOut, 1, tile * sizeof(float));
        pipe.InitBuffer(deep, 3, tile * sizeof(float));
    }

    __aicore__ inline void Process()
    {
        for (uint32_t i = 0; i < perCore / tile; ++i) {
            CopyIn(i);
            Compute(i);
            CopyOut(i);
        }
    }

private:
    __aicore__ inline void CopyIn(uint32_t i)
    {
        if (fault == DEPTH_EXCEEDED) {
            for (int32_t k = 0; k < 3; ++k) {
                LocalTensor<float> more = deep.AllocTensor<float>();
                deep.EnQue(more);
            }
        }
        LocalTensor<float> x = xQueue.AllocTensor<float>();
        LocalTensor<float> y = yQueue.AllocTensor<float>();
        DataCopy(x, xGlobal[i * tile], fault == READS_STALE_BUFFER && i == 2 ? tile / 2 : tile);
        DataCopy(y, yGlobal[i * tile], tile);
        if (fault != NO_ENQUE) {
            (fault == WRONG_QUEUE) ? yQueue.EnQue(x) : xQueue.EnQue(x);
        }
        yQueue.EnQue(y);
        if (fault == ENQUE_TWICE) {
            yQueue.EnQue(y);
        }
    }

    __aicore__ inline void Compute(uint32_t i)
    {
        LocalTensor<float> x = xQueue.DeQue<float>();
        LocalTensor<float> y = yQueue.DeQue<float>();
        LocalTensor<float> z = zQueue.AllocTensor<float>();
        if (fault == NO_HAND_OVER_TO_VECTOR) {
            DataCopy(x, xGlobal[i * tile], tile);
        }
        if (fault == FREE_BEFORE_USE) {
            xQueue.FreeTensor(x);
            LocalTensor<float> first = xQueue.AllocTensor<float>();
            LocalTensor<float> second = xQueue.AllocTensor<float>();
            DataCopy(second, xGlobal, tile);
        }
        if (fault == OUTPUT_QUEUE_FOR_INPUT) {
            LocalTensor<float> loaded = otherOut.AllocTensor<float>();
            DataCopy(loaded, xGlobal[i * tile], tile);
            otherOut.EnQue(loaded);
            LocalTensor<float> taken = otherOut.DeQue<float>();
            Add(z, taken, y, tile);
        }
        Add(z, x, y, tile);
        zQueue.EnQue(z);
        if (fault != NO_FREE && !(fault == NO_FREE_AT_END && (i + 1) * tile == perCore)) {
            xQueue.FreeTensor(x);
        }
        if (fault == FREE_TWICE) {
            xQueue.FreeTensor(x);
        }
        yQueue.FreeTensor(y);
    }

    __aicore__ inline void CopyOut(uint32_t i)
    {
        LocalTensor<float> z = zQueue.DeQue<float>();
        if (fault == NO_HAND_OVER_TO_COPY_OUT) {
            PipeBarrier<PIPE_V>();
            Add(z, z, z, tile);
        }
        DataCopy(zGlobal[i * tile], z, tile);
        zQueue.FreeTensor(z);
    }

    TPipe pipe;
    TQue<TPosition::VECIN, BUFFERS> xQueue, yQueue;
    TQue<TPosition::VECOUT, BUFFERS> zQueue;
    TQue<TPosition::VECOUT, 1> otherOut;
    TQue<TPosition::VECIN, 1> deep;
    GlobalTensor<float> xGlobal, yGlobal, zGlobal;
    uint32_t fault, tile;
    uint64_t perCore;
};

extern "C" __global__ __aicore__ void elementwise(GM_ADDR x, GM_ADDR y, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    GET_TILING_DATA(data, tiling);
    Elementwise kernel(data);
    kernel.Init(x, y, z);
    kernel.Process();
}
