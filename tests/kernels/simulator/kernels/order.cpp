// Instructions of one core with flags and barriers set by hand. The tiling key chooses the case; x and y have 1024
// floats, z takes 1024.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t COUNT = 1024;

class Order {
public:
    __aicore__ inline Order(GM_ADDR x, GM_ADDR y, GM_ADDR z)
    {
        xGlobal.SetGlobalBuffer((__gm__ float*)x, COUNT);
        yGlobal.SetGlobalBuffer((__gm__ float*)y, COUNT);
        zGlobal.SetGlobalBuffer((__gm__ float*)z, COUNT);
        pipe.InitBuffer(aBuffer, COUNT * sizeof(float));
        pipe.InitBuffer(bBuffer, COUNT * sizeof(float));
        pipe.InitBuffer(cBuffer, COUNT * sizeof(float));
        a = aBuffer.Get<float>();
        b = bBuffer.Get<float>();
        c = cBuffer.Get<float>();
    }

    template <HardEvent event>
    __aicore__ inline void Sync()
    {
        const int32_t id = static_cast<int32_t>(pipe.FetchEventID(event));
        SetFlag<event>(id);
        WaitFlag<event>(id);
    }

    __aicore__ inline void Load()
    {
        DataCopy(a, xGlobal, COUNT);
        DataCopy(b, yGlobal, COUNT);
    }

    __aicore__ inline void Store(const LocalTensor<float>& tensor)
    {
        Sync<HardEvent::V_MTE3>();
        DataCopy(zGlobal, tensor, COUNT);
    }

    // z = (x + y) + y, all order written out.
    __aicore__ inline void Correct(bool betweenLoadAndVector, bool betweenVectors, bool betweenVectorAndStore)
    {
        Load();
        if (betweenLoadAndVector) {
            Sync<HardEvent::MTE2_V>();
        }
        Add(c, a, b, COUNT);
        if (betweenVectors) {
            PipeBarrier<PIPE_V>();
        }
        Add(c, c, b, COUNT);
        if (betweenVectorAndStore) {
            Sync<HardEvent::V_MTE3>();
        }
        DataCopy(zGlobal, c, COUNT);
    }

    // Each scalar of z is 2 * x, by the scalar unit.
    __aicore__ inline void Scalars(bool beforeRead, bool beforeStore)
    {
        Load();
        Sync<HardEvent::MTE2_V>();
        Add(c, a, a, COUNT);
        if (beforeRead) {
            Sync<HardEvent::V_S>();
        }
        for (uint32_t i = 0; i < COUNT; ++i) {
            c.SetValue(i, c.GetValue(i));
        }
        if (beforeStore) {
            Sync<HardEvent::S_MTE3>();
        }
        DataCopy(zGlobal, c, COUNT);
    }

    // Two halves of a buffer, one loaded while the other is computed on; z = x + x.
    __aicore__ inline void PingPong(bool waitsForVector)
    {
        constexpr uint32_t PART = COUNT / 8;
        LocalTensor<float> in[2] = {a, b};
        SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
        SetFlag<HardEvent::V_MTE2>(EVENT_ID1);
        SetFlag<HardEvent::MTE3_V>(EVENT_ID0);
        SetFlag<HardEvent::MTE3_V>(EVENT_ID1);
        for (uint32_t i = 0; i < 8; ++i) {
            const int32_t id = i % 2;
            WaitFlag<HardEvent::V_MTE2>(id);
            DataCopy(in[id], xGlobal[i * PART], PART);
            SetFlag<HardEvent::MTE2_V>(id);
            WaitFlag<HardEvent::MTE2_V>(id);
            WaitFlag<HardEvent::MTE3_V>(id);
            LocalTensor<float> out = c[id * PART];
            Add(out, in[waitsForVector ? id : 1 - id], in[id], PART);
            SetFlag<HardEvent::V_MTE2>(id);
            SetFlag<HardEvent::V_MTE3>(id);
            WaitFlag<HardEvent::V_MTE3>(id);
            DataCopy(zGlobal[i * PART], out, PART);
            SetFlag<HardEvent::MTE3_V>(id);
        }
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID1);
        WaitFlag<HardEvent::MTE3_V>(EVENT_ID0);
        WaitFlag<HardEvent::MTE3_V>(EVENT_ID1);
    }

    // The second load overwrites what the vector unit reads.
    __aicore__ inline void OverwriteWhileRead(bool ordered)
    {
        Load();
        Sync<HardEvent::MTE2_V>();
        Add(c, a, b, COUNT);
        if (ordered) {
            Sync<HardEvent::V_MTE2>();
        }
        PipeBarrier<PIPE_MTE2>();
        DataCopy(a, yGlobal, COUNT);
        Store(c);
    }

    // What comes out of global memory is what another copy put there.
    __aicore__ inline void ThroughGlobal(bool ordered)
    {
        Load();
        Sync<HardEvent::MTE2_MTE3>();
        DataCopy(zGlobal, a, COUNT);
        if (ordered) {
            Sync<HardEvent::MTE3_MTE2>();
        }
        DataCopy(b, zGlobal, COUNT);
        Sync<HardEvent::MTE2_MTE3>();
        PipeBarrier<PIPE_MTE3>();
        DataCopy(zGlobal, b, COUNT);
    }

    // Two copies to overlapping places, with a barrier or without one.
    __aicore__ inline void Overlap(bool barrier, bool sameValues)
    {
        Load();
        Sync<HardEvent::MTE2_MTE3>();
        DataCopy(zGlobal, a, COUNT);
        if (barrier) {
            PipeBarrier<PIPE_MTE3>();
        }
        DataCopy(zGlobal[COUNT / 2], sameValues ? a[COUNT / 2] : b[COUNT / 2], COUNT / 2);
    }

    // Two vector instructions that touch different bytes of one block of 32 bytes need no order.
    __aicore__ inline void NeighboursInBlock()
    {
        Load();
        Sync<HardEvent::MTE2_V>();
        Add(c, a, b, 4);
        Sync<HardEvent::V_S>();
        for (uint32_t i = 4; i < COUNT; ++i) {
            c.SetValue(i, a.GetValue(i) + b.GetValue(i));
        }
        Add(c, a, b, 4);
        Sync<HardEvent::S_MTE3>();
        Store(c);
    }

    // The scalar unit waited for the load and then issued the vector instruction, which so comes after it as well.
    __aicore__ inline void ThroughScalar()
    {
        Load();
        Sync<HardEvent::MTE2_S>();
        Add(c, a, b, COUNT);
        Store(c);
    }

    TPipe pipe;
    TBuf<TPosition::VECCALC> aBuffer, bBuffer, cBuffer;
    GlobalTensor<float> xGlobal, yGlobal, zGlobal;
    LocalTensor<float> a, b, c;
};

extern "C" __global__ __aicore__ void order(GM_ADDR x, GM_ADDR y, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    Order kernel(x, y, z);
    if (TILING_KEY_IS(0)) {
        kernel.Correct(true, true, true);
    } else if (TILING_KEY_IS(1)) {
        kernel.Correct(false, true, true);
    } else if (TILING_KEY_IS(2)) {
        kernel.Correct(true, false, true);
    } else if (TILING_KEY_IS(3)) {
        kernel.Correct(true, true, false);
    } else if (TILING_KEY_IS(10)) {
        kernel.Scalars(true, true);
    } else if (TILING_KEY_IS(11)) {
        kernel.Scalars(false, true);
    } else if (TILING_KEY_IS(12)) {
        kernel.Scalars(true, false);
    } else if (TILING_KEY_IS(20)) {
        kernel.PingPong(true);
    } else if (TILING_KEY_IS(21)) {
        kernel.PingPong(false);
    } else if (TILING_KEY_IS(30)) {
        kernel.OverwriteWhileRead(true);
    } else if (TILING_KEY_IS(31)) {
        kernel.OverwriteWhileRead(false);
    } else if (TILING_KEY_IS(40)) {
        kernel.ThroughGlobal(true);
    } else if (TILING_KEY_IS(41)) {
        kernel.ThroughGlobal(false);
    } else if (TILING_KEY_IS(50)) {
        kernel.Overlap(true, false);
    } else if (TILING_KEY_IS(51)) {
        kernel.Overlap(false, false);
    } else if (TILING_KEY_IS(52)) {
        kernel.Overlap(false, true);
    } else if (TILING_KEY_IS(60)) {
        kernel.NeighboursInBlock();
    } else if (TILING_KEY_IS(61)) {
        kernel.ThroughScalar();
    } else if (TILING_KEY_IS(70)) {
        kernel.Correct(true, true, true);
        WaitFlag<HardEvent::MTE2_V>(EVENT_ID3);
    } else if (TILING_KEY_IS(71)) {
        kernel.Correct(true, true, true);
        SetFlag<HardEvent::MTE2_V>(EVENT_ID3);
    } else if (TILING_KEY_IS(72)) {
        kernel.Correct(true, true, true);
        SetFlag<HardEvent::MTE2_V>(EVENT_ID3);
        SetFlag<HardEvent::MTE2_V>(EVENT_ID3);
    } else if (TILING_KEY_IS(73)) {
        kernel.Load();
        SetFlag<HardEvent::MTE2_V>(EVENT_ID0);
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
    } else if (TILING_KEY_IS(74)) {
        kernel.Load();
        SetFlag<HardEvent::V_MTE2>(EVENT_ID0);
        WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);
        Add(kernel.c, kernel.a, kernel.b, COUNT);
        kernel.Store(kernel.c);
    } else if (TILING_KEY_IS(75)) {
        SetFlag<HardEvent::MTE2_V>(8);
    } else if (TILING_KEY_IS(76)) {
        for (int32_t i = 0; i < 9; ++i) {
            kernel.pipe.AllocEventID<HardEvent::MTE2_V>();
        }
    }
}
