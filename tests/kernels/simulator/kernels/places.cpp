// Addresses, lengths and initialisation. The tiling key chooses the case; x has 1000 halves, z takes 1000.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t COUNT = 1000;

class Places {
public:
    __aicore__ inline Places(GM_ADDR x, GM_ADDR z)
    {
        xGlobal.SetGlobalBuffer((__gm__ half*)x, COUNT);
        zGlobal.SetGlobalBuffer((__gm__ half*)z, COUNT);
    }

    __aicore__ inline void Init(uint32_t bytes)
    {
        pipe.InitBuffer(first, bytes);
        pipe.InitBuffer(second, bytes);
        a = first.Get<half>();
        b = second.Get<half>();
    }

    __aicore__ inline void CopyOut(const LocalTensor<half>& from, uint32_t count)
    {
        SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
        WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
        DataCopyPad(zGlobal, from, DataCopyExtParams(1, count * sizeof(half), 0, 0, 0));
    }

    __aicore__ inline void Padded(uint32_t count)
    {
        DataCopyPad(a, xGlobal, DataCopyExtParams(1, count * sizeof(half), 0, 0, 0),
                    DataCopyPadExtParams<half>(false, 0, 0, 0));
        CopyOut(a, count);
    }

    TPipe pipe;
    TBuf<TPosition::VECCALC> first, second;
    GlobalTensor<half> xGlobal, zGlobal;
    LocalTensor<half> a, b;
};

extern "C" __global__ __aicore__ void places(GM_ADDR x, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    Places kernel(x, z);
    if (TILING_KEY_IS(20)) {
        kernel.Init(100 * 1024);
        return;
    }
    kernel.Init(2048);
    LocalTensor<half> a = kernel.a;
    if (TILING_KEY_IS(0)) {
        kernel.Padded(COUNT);
    } else if (TILING_KEY_IS(1)) {
        DataCopy(a, kernel.xGlobal, COUNT);
    } else if (TILING_KEY_IS(2)) {
        DataCopy(a[8], kernel.xGlobal, 64);
    } else if (TILING_KEY_IS(3)) {
        DataCopy(a, kernel.xGlobal, 1008);
    } else if (TILING_KEY_IS(4)) {
        DataCopy(a[16], kernel.xGlobal, 0);
        DataCopy(a[1008], kernel.xGlobal, 32);
    } else if (TILING_KEY_IS(5)) {
        kernel.CopyOut(a, 16);
    } else if (TILING_KEY_IS(6)) {
        DataCopyPad(a, kernel.xGlobal, DataCopyExtParams(1, 20, 0, 0, 0), DataCopyPadExtParams<half>(false, 0, 0, 0));
        kernel.CopyOut(a, 32);
    } else if (TILING_KEY_IS(7)) {
        kernel.Padded(COUNT / 2);
    } else if (TILING_KEY_IS(8)) {
        kernel.Padded(COUNT);
        DataCopyPad(kernel.zGlobal[COUNT - 10], a, DataCopyExtParams(1, 40, 0, 0, 0));
    } else if (TILING_KEY_IS(9)) {
        DataCopy(a, kernel.zGlobal, 16);
    } else if (TILING_KEY_IS(10)) {
        kernel.first.GetWithOffset<half>(1024, 32);
    } else if (TILING_KEY_IS(11)) {
        GlobalTensor<half> nowhere;
        DataCopy(a, nowhere, 16);
    } else if (TILING_KEY_IS(12)) {
        *(kernel.xGlobal.GetPhyAddr(0) - (1 << 20)) = 1;
    } else if (TILING_KEY_IS(13)) {
        assert(GetBlockNum() > 1, "blocks: %ld\n", GetBlockNum());
    } else if (TILING_KEY_IS(14)) {
        PRINTF("block %ld of %ld\n", GetBlockIdx(), GetBlockNum());
        kernel.Padded(COUNT);
    } else if (TILING_KEY_IS(15)) {
        kernel.zGlobal.SetValue(COUNT, 1);
    } else if (TILING_KEY_IS(16)) {
        kernel.a.SetValue(1024, 1);
    } else if (TILING_KEY_IS(17)) {
        DataCopy(kernel.a, kernel.xGlobal, DataCopyParams(4096, 1, 0, 0));
    }
}
