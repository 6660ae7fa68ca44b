"""Run attempts as jobs of a Slurm cluster, through Slurm's own command line programs."""
