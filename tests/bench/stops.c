// The price of stopping by itself: a tracer that stops at the calls below, on one processor, and does nothing at a stop. What
// it costs over the command alone is what no tracer by ptrace(2) can save.
//
//     cc -O2 -o stops stops.c && time ./stops COMMAND...
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <stddef.h>
#include <unistd.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
int main(int argc,char**argv){
  cpu_set_t one; CPU_ZERO(&one); CPU_SET(0,&one); sched_setaffinity(0,sizeof one,&one);
  pid_t p=fork();
  if(!p){
    int nr[]={SYS_openat,SYS_newfstatat,SYS_access,SYS_execve,SYS_statx,SYS_readlink};
    struct sock_filter f[32]; int n=0;
    f[n++]=(struct sock_filter)BPF_STMT(BPF_LD|BPF_W|BPF_ABS,offsetof(struct seccomp_data,nr));
    int k=sizeof nr/sizeof*nr;
    for(int i=0;i<k;i++) f[n++]=(struct sock_filter)BPF_JUMP(BPF_JMP|BPF_JEQ|BPF_K,nr[i],k-i,0);
    f[n++]=(struct sock_filter)BPF_STMT(BPF_RET|BPF_K,SECCOMP_RET_ALLOW);
    f[n++]=(struct sock_filter)BPF_STMT(BPF_RET|BPF_K,SECCOMP_RET_TRACE);
    struct sock_fprog g={n,f};
    raise(SIGSTOP);
    prctl(PR_SET_NO_NEW_PRIVS,1,0,0,0); prctl(PR_SET_SECCOMP,2,&g);
    execvp(argv[1],argv+1); _exit(127);
  }
  int st; waitpid(p,&st,WUNTRACED);
  ptrace(PTRACE_SEIZE,p,0,PTRACE_O_TRACESECCOMP|PTRACE_O_TRACEFORK|PTRACE_O_TRACEVFORK|PTRACE_O_TRACECLONE|PTRACE_O_EXITKILL);
  kill(p,SIGCONT); long stops=0;
  for(;;){ pid_t t=waitpid(-1,&st,__WALL); if(t<0)break; if(WIFEXITED(st)||WIFSIGNALED(st)) continue;
    int sig=WSTOPSIG(st), ev=st>>16; if(sig==SIGTRAP||ev) sig=0; stops++; ptrace(PTRACE_CONT,t,0,sig); }
  fprintf(stderr,"%ld stops\n",stops);
}
