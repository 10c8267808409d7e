// Several cores on one output. The tiling key chooses the case; x has 64 floats for each core, z takes 64 for each.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t PART = 64;

class Meeting {
public:
    __aicore__ inline Meeting(GM_ADDR x, GM_ADDR z, GM_ADDR workspace)
    {
        xGlobal.SetGlobalBuffer((__gm__ float*)x);
        zGlobal.SetGlobalBuffer((__gm__ float*)z);
        between.SetGlobalBuffer((__gm__ float*)workspace);
        flags.SetGlobalBuffer((__gm__ int32_t*)workspace + 64 * 1024);
        pipe.InitBuffer(queue, 1, 2 * PART * sizeof(float));
        pipe.InitBuffer(syncBuffer, GetBlockNum() * 32);
    }

    // Copies part `from` of one tensor to part `to` of the other.
    __aicore__ inline void Move(const GlobalTensor<float>& target, uint32_t to, const GlobalTensor<float>& source,
                                uint32_t from, uint32_t count = PART)
    {
        LocalTensor<float> tensor = queue.AllocTensor<float>();
        const DataCopyExtParams params(1, count * sizeof(float), 0, 0, 0);
        DataCopyPad(tensor, source[from], params, DataCopyPadExtParams<float>(false, 0, 0, 0));
        queue.EnQue(tensor);
        tensor = queue.DeQue<float>();
        DataCopyPad(target[to], tensor, params);
        queue.FreeTensor(tensor);
    }

    TPipe pipe;
    TQueBind<TPosition::VECIN, TPosition::VECOUT, 1> queue;
    TBuf<TPosition::VECCALC> syncBuffer;
    GlobalTensor<float> xGlobal, zGlobal, between;
    GlobalTensor<int32_t> flags;
};

// Every core passes its part on to the next one through the workspace.
extern "C" __global__ __aicore__ void meeting(GM_ADDR x, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    if (TILING_KEY_IS(9)) {
        KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
    }
    Meeting kernel(x, z, workspace);
    const uint32_t block = GetBlockIdx(), blocks = GetBlockNum();
    const uint32_t mine = block * PART, next = (block + 1) % blocks * PART;
    if (TILING_KEY_IS(0) || TILING_KEY_IS(9)) {
        kernel.Move(kernel.between, next, kernel.xGlobal, mine);
        SyncAll();
        kernel.Move(kernel.zGlobal, mine, kernel.between, mine);
    } else if (TILING_KEY_IS(1)) {
        kernel.Move(kernel.between, next, kernel.xGlobal, mine);
        kernel.Move(kernel.zGlobal, mine, kernel.between, mine);
    } else if (TILING_KEY_IS(2)) {
        kernel.Move(kernel.between, next, kernel.xGlobal, mine);
        LocalTensor<int32_t> local = kernel.syncBuffer.Get<int32_t>();
        SyncAll(kernel.flags, local);
        kernel.Move(kernel.zGlobal, mine, kernel.between, mine);
    } else if (TILING_KEY_IS(3)) {  // the last part of each core is the first of the next one
        kernel.Move(kernel.zGlobal, mine, kernel.xGlobal, mine, block + 1 == blocks ? PART : PART + 1);
    } else if (TILING_KEY_IS(4)) {  // all write the same place
        kernel.Move(kernel.zGlobal, 0, kernel.xGlobal, mine);
    } else if (TILING_KEY_IS(5)) {  // all add to the same place
        if (block == 0) {
            InitOutput<float>(kernel.zGlobal, PART, 0.0f);
        }
        SyncAll();
        SetAtomicAdd<float>();
        kernel.Move(kernel.zGlobal, 0, kernel.xGlobal, mine);
        SetAtomicNone();
    } else if (TILING_KEY_IS(6)) {  // one core stays away
        if (block != 1) {
            SyncAll();
        }
    } else if (TILING_KEY_IS(7)) {  // rows of 5 floats: cores share blocks of 32 bytes, but no byte
        for (uint32_t i = 0; i < PART / 4; ++i) {
            const uint32_t row = (i * blocks + block) * 4;
            kernel.Move(kernel.zGlobal, row, kernel.xGlobal, row, 4);
        }
    } else if (TILING_KEY_IS(8)) {  // reads what the next core writes
        kernel.Move(kernel.between, mine, kernel.xGlobal, mine);
        SyncAll();
        kernel.Move(kernel.zGlobal, mine, kernel.between, next);
        kernel.Move(kernel.between, mine, kernel.xGlobal, mine);
    } else if (TILING_KEY_IS(10)) {  // one after the other
        LocalTensor<int32_t> local = kernel.syncBuffer.Get<int32_t>();
        if (block != 0) {
            IBWait(kernel.flags, local, block - 1, 0);
            kernel.Move(kernel.between, mine, kernel.between, mine - PART);
        } else {
            kernel.Move(kernel.between, 0, kernel.xGlobal, 0);
        }
        if (block + 1 != blocks) {
            IBSet(kernel.flags, local, block, 0);
        }
        PipeBarrier<PIPE_ALL>();
        kernel.Move(kernel.zGlobal, mine, kernel.between, mine);
    }
}

// Two vector cores and a cube core: the cube core passes on, over L1, what the vector cores made.
extern "C" __global__ __aicore__ void mixed(GM_ADDR x, GM_ADDR z, GM_ADDR workspace, GM_ADDR tiling)
{
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
    GlobalTensor<float> between, zGlobal;
    between.SetGlobalBuffer((__gm__ float*)workspace);
    zGlobal.SetGlobalBuffer((__gm__ float*)z);
    if ASCEND_IS_AIV {
        Meeting kernel(x, z, workspace);
        const uint32_t mine = GetBlockIdx() * PART;
        kernel.Move(between, mine, kernel.xGlobal, mine);
        if (!TILING_KEY_IS(1)) {
            CrossCoreSetFlag<0x2, PIPE_MTE3>(3);
        }
    }
    if ASCEND_IS_AIC {
        TPipe pipe;
        TBuf<TPosition::A1> buffer;
        pipe.InitBuffer(buffer, 2 * PART * sizeof(float));
        LocalTensor<float> tensor = buffer.Get<float>();
        const uint32_t mine = GetBlockIdx() * 2 * PART;
        if (!TILING_KEY_IS(2)) {
            CrossCoreWaitFlag(3);
        }
        DataCopy(tensor, between[mine], 2 * PART);
        SetFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
        WaitFlag<HardEvent::MTE2_MTE3>(EVENT_ID0);
        DataCopy(zGlobal[mine], tensor, 2 * PART);
    }
}
