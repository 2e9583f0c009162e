// Keep the device busy for so many nanoseconds: what is queued meanwhile waits, and then runs without a gap.
extern "C" __global__ void spin(long long nanoseconds)
{
    long long begin, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(begin));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (now - begin < nanoseconds);
}
